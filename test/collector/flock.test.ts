import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { claim, ownerName, ownerOf } from '../../src/collector/flock.ts';

let directory: string;
let holder: ChildProcess | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tcpledger-lock-'));
});

afterEach(async () => {
  await kill();
  rmdirSync(directory);
});

async function kill(): Promise<void> {
  if (!holder) return;
  const exited = once(holder, 'exit');
  holder.kill('SIGKILL');
  await exited;
  holder = undefined;
}

/** Another process that holds the lock. */
async function holdElsewhere(): Promise<number> {
  const program = `
    const flock = require('koffi').load('libc.so.6').func('int flock(int, int)');
    if (flock(require('fs').openSync(process.argv[1], 'r'), 6) === 0) console.log('held');
    setInterval(() => {}, 1e6);`;
  holder = spawn(process.execPath, ['-e', program, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(holder.stdout!, 'data');
  return holder.pid!;
}

/** Claims the directory through a descriptor of its own. */
function claimDirectory() {
  const fd = openSync(directory, 'r');
  return { claimed: claim(fd, directory), release: () => closeSync(fd) };
}

test('a directory belongs to one at a time, and leaves nothing in it', () => {
  const first = claimDirectory();
  expect(first.claimed).toEqual({ held: true });
  const second = claimDirectory();
  expect(second.claimed).toEqual({ held: false, pid: process.pid });
  second.release();
  expect(readdirSync(directory)).toEqual([]);
  first.release();
  const third = claimDirectory();
  expect(third.claimed.held).toBe(true);
  third.release();
});

test('another process that holds it is named; when it is killed the lock is free', async () => {
  const pid = await holdElsewhere();
  const during = claimDirectory();
  expect(during.claimed).toEqual({ held: false, pid });
  during.release();
  await kill();
  const after = claimDirectory();
  expect(after.claimed.held).toBe(true);
  after.release();
});

test('what is not open cannot be claimed', () => {
  expect(() => claim(1 << 20, '/gone')).toThrow(
    expect.objectContaining({ code: 'EBADF', message: 'flock of /gone: EBADF' }),
  );
});

test('owners have names', () => {
  expect([undefined, process.pid, 1].map(ownerName)).toEqual([
    'a process of another container',
    'this process',
    'process 1',
  ]);
});

test('the owner in /proc/locks', () => {
  const locks = [
    '1: POSIX  ADVISORY  WRITE 11 00:27:77 0 EOF',
    '2: FLOCK  ADVISORY  WRITE 22 00:27:777 0 EOF',
    '3: FLOCK  ADVISORY  WRITE 33 00:27:77 0 EOF',
    '4: FLOCK  ADVISORY  WRITE 0 00:27:78 0 EOF',
    '',
  ].join('\n');
  expect(ownerOf(77n, locks)).toBe(33);
  expect(ownerOf(777n, locks)).toBe(22);
  expect(ownerOf(78n, locks)).toBeUndefined();
  expect(ownerOf(7n, locks)).toBeUndefined();
});
