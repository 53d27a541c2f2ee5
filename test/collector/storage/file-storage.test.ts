/** Journals that survive crashes, full disks and second owners. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Host } from '../../../src/collector/component.ts';
import { fileStorageFactory } from '../../../src/collector/file-storage.ts';
import { crc32, crc32ByTable } from '../../../src/collector/storage/crc32.ts';
import { safeFileName } from '../../../src/collector/storage/file-name.ts';
import { encodeFrames, MAGIC, scanFrames } from '../../../src/collector/storage/frames.ts';
import { isStorageExtension, type StorageExtension } from '../../../src/collector/storage.ts';
import { createTelemetry } from '../../../src/collector/telemetry-store.ts';

const FAILURES = { name: 'failures', type: 'counter', unit: '', help: '', labels: [] } as const;
const HOST = {} as Host;
const STOP = new AbortController().signal;

let directory = '';
let log: string[] = [];
const telemetry = createTelemetry(() => {});
const failures = () => (telemetry.collect()[0]!.points[0] as { value: number }).value;
const open: StorageExtension[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tcpledger-storage-'));
  log = [];
});
afterEach(async () => {
  for (const storage of open.splice(0)) await storage.shutdown(STOP);
  rmSync(directory, { recursive: true });
});

async function storageIn(where = directory): Promise<StorageExtension> {
  const logger = { debug() {}, info() {}, warn: (line: string) => void log.push(line), error() {} };
  const storage = fileStorageFactory(FAILURES).create(
    { id: 'file_storage', logger, telemetry, version: '1' },
    { directory: where },
  );
  if (!isStorageExtension(storage)) throw new Error('no storage');
  await storage.start(HOST);
  open.push(storage);
  return storage;
}

const records = (...texts: string[]) => texts.map((text) => Buffer.from(text));
const texts = (buffers: readonly Buffer[]) => buffers.map((buffer) => buffer.toString());
const FILE = 'otlp_http%2feu.queue.journal';
const fileOf = () => join(directory, FILE);
const journalOf = (storage: StorageExtension) => storage.journal('otlp_http/eu', 'queue');

/** Writes `a`, `b`, `c` and closes, as a clean agent leaves it. */
async function threeRecords(): Promise<void> {
  const storage = await storageIn();
  const journal = await journalOf(storage);
  await journal.append(records('a', 'b'));
  await journal.append(records('c'));
  await journal.close();
}

describe('a journal', () => {
  it('gives back what was written, in order, also after a restart', async () => {
    await threeRecords();
    const journal = await journalOf(await storageIn());
    expect(texts(await journal.read())).toEqual(['a', 'b', 'c']);
    await journal.append(records('d', ''));
    expect(texts(await journal.read())).toEqual(['a', 'b', 'c', 'd', '']);
    expect(statSync(fileOf()).mode & 0o777).toBe(0o600);
  });

  it('is replaced as a whole', async () => {
    await threeRecords();
    const journal = await journalOf(await storageIn());
    await Promise.all([journal.rewrite(records('x')), journal.append(records('y'))]);
    expect(texts(await journal.read())).toEqual(['x', 'y']);
    await journal.rewrite([]);
    expect(await journal.read()).toEqual([]);
    expect(existsSync(`${fileOf()}.new`)).toBe(false);
  });

  it('ignores a rewrite that a crash left unfinished', async () => {
    await threeRecords();
    writeFileSync(`${fileOf()}.new`, 'half');
    expect(texts(await (await journalOf(await storageIn())).read())).toEqual(['a', 'b', 'c']);
    expect(existsSync(`${fileOf()}.new`)).toBe(false);
  });

  it('refuses use after close', async () => {
    const journal = await journalOf(await storageIn());
    await journal.close();
    await journal.close();
    await expect(journal.append(records('x'))).rejects.toThrow(/failed: it is closed/);
    await expect(journal.read()).rejects.toMatchObject({ code: 'TCPL_E_STORAGE' });
  });

  it('refuses a file that is something else', async () => {
    writeFileSync(fileOf(), 'precious notes');
    const storage = await storageIn();
    await expect(journalOf(storage)).rejects.toThrow(
      /begins with "precious", so it is no journal of this version. Move the file away/,
    );
    expect(readFileSync(fileOf(), 'utf8')).toBe('precious notes');
    writeFileSync(fileOf(), '');
    await expect(journalOf(storage)).resolves.toBeDefined();
  });
});

describe('after a crash in the midst of a write', () => {
  it('every length of the file gives the whole records of it, and goes on', async () => {
    await threeRecords();
    const whole = readFileSync(fileOf());
    for (let length = whole.length; length >= 0; length--) {
      writeFileSync(fileOf(), whole.subarray(0, length));
      const before = failures();
      const storage = await storageIn();
      const journal = await journalOf(storage);
      const count = Math.max(0, Math.floor((length - MAGIC.length) / 9));
      expect(texts(await journal.read())).toEqual(['a', 'b', 'c'].slice(0, count));
      const torn = length > MAGIC.length + count * 9;
      expect(failures() - before).toBe(torn ? 1 : 0);
      expect(log.splice(0)).toHaveLength(torn ? 1 : 0);
      await journal.append(records('z'));
      expect(texts(await journal.read())).toEqual([...['a', 'b', 'c'].slice(0, count), 'z']);
      await storage.shutdown(STOP);
    }
  });

  it('zeros at the end are no records', async () => {
    await threeRecords();
    appendFileSync(fileOf(), Buffer.alloc(4096));
    const journal = await journalOf(await storageIn());
    expect(texts(await journal.read())).toEqual(['a', 'b', 'c']);
    expect(statSync(fileOf()).size).toBe(MAGIC.length + 27);
  });

  it('one damaged record costs that record', async () => {
    await threeRecords();
    const bytes = readFileSync(fileOf());
    bytes[MAGIC.length + 9 + 8]! ^= 1;
    writeFileSync(fileOf(), bytes);
    const before = failures();
    expect(texts(await (await journalOf(await storageIn())).read())).toEqual(['a', 'c']);
    expect(failures() - before).toBe(1);
  });
});

describe('frames', () => {
  it('come back as they were, and no junk behind them makes another', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 })), fc.uint8Array({ maxLength: 30 }), (arrays, junk) => {
        const buffers = arrays.map((array) => Buffer.from(array));
        const framed = Buffer.concat([MAGIC, encodeFrames(buffers)]);
        expect(scanFrames(framed)).toEqual({ records: buffers, end: framed.length, damaged: 0 });
        expect(scanFrames(Buffer.concat([framed, junk])).records).toEqual(buffers);
      }),
    );
  });

  it('sum alike with and without the native CRC-32', () => {
    expect(crc32ByTable(Buffer.from('123456789'))).toBe(0xcbf43926);
    fc.assert(fc.property(fc.uint8Array(), (bytes) => crc32ByTable(bytes) === crc32(bytes)));
  });
});

describe('file names', () => {
  it('are safe and tell different names apart', () => {
    expect(safeFileName('../a b.ü')).toBe('%2e%2e%2fa%20b%2e%c3%bc');
    expect(() => safeFileName('x'.repeat(300))).toThrow(/too long/);
    // the longest name that any code point can fill: four bytes each, three characters a byte
    const name = fc.string({ unit: 'binary', maxLength: 16 });
    fc.assert(fc.property(name, name, (a, b) => a === b || safeFileName(a) !== safeFileName(b)));
  });
});

describe('owners', () => {
  it('cannot open a journal twice in one process', async () => {
    const storage = await storageIn();
    await journalOf(storage);
    await expect(journalOf(await storageIn())).rejects.toThrow(
      `Locking the journal ${fileOf()} failed: this process holds it. Stop that agent, or give this one a directory of its own.`,
    );
    await storage.shutdown(STOP);
    await expect(journalOf(await storageIn())).resolves.toBeDefined();
  });

  it('of another process are named, and hold it until they end, however they end', async () => {
    const program = `
      const flock = require('koffi').load('libc.so.6').func('int flock(int, int)');
      if (flock(require('fs').openSync(process.argv[1], 'a+'), 6) === 0) console.log('held');
      setInterval(() => {}, 1e6);`;
    const other = spawn(process.execPath, ['-e', program, fileOf()], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(other.stdout, 'data');
    const storage = await storageIn();
    await expect(journalOf(storage)).rejects.toThrow(`process ${other.pid} holds it`);
    other.kill('SIGKILL');
    await once(other, 'exit');
    await expect(journalOf(storage)).resolves.toBeDefined();
  });

  it('that race: one wins', async () => {
    const storages = [await storageIn(), await storageIn(), await storageIn()];
    const results = await Promise.allSettled(storages.map(journalOf));
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected', 'rejected']);
  });

  it('keep it through a rewrite, which leaves its draft alone to others', async () => {
    const journal = await journalOf(await storageIn());
    await journal.append(records('a', 'b'));
    await journal.rewrite(records('b'));
    await expect(journalOf(await storageIn())).rejects.toThrow('this process holds it');
    expect(texts(await journal.read())).toEqual(['b']);
    await journal.close();
    await expect(journalOf(await storageIn())).resolves.toBeDefined();
  });
});

describe('the directory', () => {
  it('is made, for the owner only', async () => {
    const deep = join(directory, 'a', 'b');
    await storageIn(deep);
    expect(statSync(deep).mode & 0o777).toBe(0o700);
  });

  it('that is a file is an error that says what to do', async () => {
    const file = join(directory, 'file');
    writeFileSync(file, '');
    await expect(storageIn(join(file, 'x'))).rejects.toMatchObject({
      code: 'TCPL_E_STORAGE',
      message: expect.stringMatching(
        /^Preparing the directory .*\/file\/x of extensions.file_storage failed: ENOTDIR.* name another directory\.$/,
      ),
    });
  });

  it.skipIf(process.getuid?.() !== 0)('on a read-only file system is an error that says what to do', async () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', directory]);
    try {
      await expect(storageIn(directory)).rejects.toThrow(/The file system is read-only: mount it for writing/);
    } finally {
      execFileSync('umount', [directory]);
    }
  });

  it.skipIf(process.getuid?.() !== 0)(
    'that is full: an append and a rewrite fail, and the journal stays as it was',
    async () => {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory]);
      try {
        const storage = await storageIn();
        const journal = await journalOf(storage);
        await journal.append(records('kept'));
        const before = failures();
        const big = [Buffer.alloc(128 << 10, 'x')];
        await expect(journal.append(big)).rejects.toMatchObject({
          code: 'TCPL_E_STORAGE',
          message: `Writing to the journal ${fileOf()} failed: ENOSPC: no space left on device, write. The disk is full: make room on it, or move the directory.`,
        });
        await expect(journal.rewrite(big)).rejects.toThrow(/^Rewriting the journal .* The disk is full/);
        expect(failures() - before).toBe(2);
        await journal.append(records('more'));
        expect(texts(await journal.read())).toEqual(['kept', 'more']);
        await storage.shutdown(STOP);
        expect(texts(await (await journalOf(await storageIn())).read())).toEqual(['kept', 'more']);
        for (const opened of open.splice(0)) await opened.shutdown(STOP);
      } finally {
        execFileSync('umount', [directory]);
      }
    },
  );
});
