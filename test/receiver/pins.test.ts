/** What pinning needs of a place; with real pins: pins.kernel.test.ts. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openPins } from '../../src/receiver/pins.ts';

const LAYOUT = { objectPath: '/dev/null', maxPairs: 16, maxConnections: 16, ringBytes: 4096, loopback: true };

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tcpledger-pins-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

const open = (path: string) => openPins(path, LAYOUT, ['slots'], ['tcpledger_again']);

test.for(['a', 'a/b/c', '.'])('%s on no BPF file system is refused, and nothing is made there', (path) => {
  const attempt = () => open(join(directory, path));
  expect(attempt).toThrow(expect.objectContaining({ code: 'TCPL_E_PIN', exitCode: 1 }));
  expect(attempt).toThrow(/pin_path .*: it is not on a BPF file system.*\/sys\/fs\/bpf.*mount -t bpf/);
  expect(readdirSync(directory)).toEqual([]);
});

test('a path in a file system that takes no directories at all', () => {
  expect(() => open('/proc/none/tcpledger')).toThrow(/\/proc\/none\/tcpledger: it is not on a BPF file system/);
});
