import { mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { watchConfig } from '../../src/cli/config-watch.ts';

let directory: string;
let stop: () => void;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tcpledger-watch-'));
});
afterEach(() => {
  stop();
  rmSync(directory, { recursive: true });
});

const WITHIN = { timeout: 20_000, interval: 50 };

describe('the watch of the configuration', () => {
  it('tells of new contents, however they got there, and of nothing else', async () => {
    const path = join(directory, 'config.yaml');
    writeFileSync(path, 'one');
    const changed = vi.fn();
    stop = watchConfig(path, changed);

    writeFileSync(path, 'two');
    await vi.waitFor(() => expect(changed).toHaveBeenCalledTimes(1), WITHIN);

    utimesSync(path, 1, 1); // a touch: seen by the next poll at the latest together with what follows
    writeFileSync(`${path}.new`, 'three');
    renameSync(`${path}.new`, path);
    await vi.waitFor(() => expect(changed).toHaveBeenCalledTimes(2), WITHIN);

    rmSync(path);
    writeFileSync(path, 'four');
    await vi.waitFor(() => expect(changed).toHaveBeenCalledTimes(3), WITHIN);
  });

  it('follows the link by which a Kubernetes volume swaps its files', async () => {
    for (const version of ['one', 'two']) writeFileSync(join(directory, version), version);
    const path = join(directory, 'config.yaml');
    symlinkSync('one', path);
    const changed = vi.fn();
    stop = watchConfig(path, changed);
    symlinkSync('two', `${path}.new`);
    renameSync(`${path}.new`, path);
    await vi.waitFor(() => expect(changed).toHaveBeenCalledTimes(1), WITHIN);
  });
});
