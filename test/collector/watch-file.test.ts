/** Every way in which a file changes its contents, and those in which it only seems to. */
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FileWatch, watchFile } from '../../src/collector/watch-file.ts';

const INTERVAL_MS = 10;

let directory = '';
let changes = 0;
let watch: FileWatch | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tcpledger-watch-'));
  changes = 0;
});
afterEach(() => {
  watch?.close();
  rmSync(directory, { recursive: true });
});

const at = (name: string) => join(directory, name);

async function watching(path: string): Promise<void> {
  watch = watchFile(path, () => changes++, INTERVAL_MS);
  await watch.ready;
}

/** Long enough for any change to be seen several times over. */
const quiet = () => sleep(INTERVAL_MS * 15);

async function changesReach(count: number): Promise<void> {
  while (changes < count) await sleep(INTERVAL_MS);
  await quiet();
  expect(changes).toBe(count);
}

describe('a change', () => {
  it('in place', async () => {
    writeFileSync(at('f'), 'one');
    await watching(at('f'));
    writeFileSync(at('f'), 'two');
    await changesReach(1);
  });

  it('by rename, as editors do', async () => {
    writeFileSync(at('f'), 'one');
    await watching(at('f'));
    for (const [i, text] of ['two', 'six'].entries()) {
      writeFileSync(at('f.tmp'), text);
      renameSync(at('f.tmp'), at('f'));
      await changesReach(i + 1);
    }
  });

  it('by a symbolic link on the way, as ConfigMaps do', async () => {
    for (const version of ['v1', 'v2']) {
      mkdirSync(at(version));
      writeFileSync(join(at(version), 'f'), version);
    }
    symlinkSync('v1', at('..data'));
    symlinkSync(join('..data', 'f'), at('f'));
    await watching(at('f'));
    symlinkSync('v2', at('..data_tmp'));
    renameSync(at('..data_tmp'), at('..data'));
    await changesReach(1);
  });

  it('to nothing and back', async () => {
    writeFileSync(at('f'), 'one');
    await watching(at('f'));
    rmSync(at('f'));
    await changesReach(1);
    writeFileSync(at('f'), 'one');
    await changesReach(2);
  });

  it('of the same length with the old time stamp', async () => {
    writeFileSync(at('f'), 'one');
    utimesSync(at('f'), 1, 1);
    await watching(at('f'));
    writeFileSync(at('f'), 'two');
    utimesSync(at('f'), 1, 1);
    await changesReach(1);
  });
});

describe('a process that is held up for many intervals at a time', () => {
  /** Blocks the event loop once a turn, for several intervals. */
  function holdUp(): NodeJS.Timeout {
    return setInterval(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, INTERVAL_MS * 4), 1);
  }

  it('tells of a change all the same, once', async () => {
    writeFileSync(at('f'), 'one');
    await watching(at('f'));
    const holding = holdUp();
    try {
      for (const [i, text] of ['two', 'six'].entries()) {
        writeFileSync(at('f'), text);
        await changesReach(i + 1);
      }
    } finally {
      clearInterval(holding);
    }
  });
});

describe('no change', () => {
  it('is a touch, a mode, or the same contents again', async () => {
    writeFileSync(at('f'), 'one');
    await watching(at('f'));
    utimesSync(at('f'), 5, 5);
    chmodSync(at('f'), 0o600);
    writeFileSync(at('g'), 'one');
    renameSync(at('g'), at('f'));
    await quiet();
    expect(changes).toBe(0);
  });

  it('is told after close', async () => {
    writeFileSync(at('f'), 'one');
    await watching(at('f'));
    watch!.close();
    writeFileSync(at('f'), 'two');
    await quiet();
    expect(changes).toBe(0);
  });
});

it('a file that is being written is told about once, when it is finished', async () => {
  writeFileSync(at('f'), '');
  watch = watchFile(at('f'), () => changes++, 200);
  await watch.ready;
  for (let i = 0; i < 120; i++) {
    writeFileSync(at('f'), 'x'.repeat(i + 1));
    await sleep(5);
  }
  expect(changes).toBe(0);
  while (changes === 0) await sleep(10);
  await sleep(800);
  expect(changes).toBe(1);
});

it('holds nothing that keeps the process alive', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
  const before = timers();
  watch = watchFile(at('f'), () => changes++, 60_000);
  await watch.ready;
  await new Promise(setImmediate);
  expect(timers()).toBe(before);
});
