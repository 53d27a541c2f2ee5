import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createOutput } from '../../../src/exporters/access-log/open-output.ts';
import { SinkClosed } from '../../../src/exporters/access-log/sink.ts';

const KEY = 'exporters.access_log.output';
const NOBODY = 65534;

let directory: string;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'access-log-'));
});

afterEach(() => {
  fs.rmSync(directory, { recursive: true });
});

const open = (path: string) => createOutput(path, KEY).open();

describe('a file', () => {
  it('is made, not readable by everybody, and appended to', async () => {
    const path = join(directory, 'access.log');
    for (const line of ['one\n', 'two\n']) {
      const sink = await open(path);
      expect(await sink.write(Buffer.from(line))).toBe(4);
      await sink.close();
    }
    expect(fs.readFileSync(path, 'utf8')).toBe('one\ntwo\n');
    expect(fs.statSync(path).mode & 0o777).toBe(0o640 & ~process.umask());
  });

  it('is relative to the working directory', async () => {
    const path = join(directory, 'access.log');
    const output = createOutput(relative(process.cwd(), path), KEY);
    expect(output.name).toBe(path);
    await (await output.open()).close();
    expect(fs.existsSync(path)).toBe(true);
  });

  it('whose last line has no end gets one first', async () => {
    const path = join(directory, 'access.log');
    fs.writeFileSync(path, 'killed in the mid');
    const sink = await open(path);
    await sink.write(Buffer.from('one\n'));
    await sink.write(Buffer.from('two\n'));
    await sink.close();
    expect(fs.readFileSync(path, 'utf8')).toBe('killed in the mid\none\ntwo\n');
  });

  it('is closed only after the write under way', async () => {
    const path = join(directory, 'access.log');
    const sink = await open(path);
    const written = sink.write(Buffer.from('one\n'));
    await sink.close();
    expect(await written).toBe(4);
  });

  it.each(['/dev/null', '/dev/full'])('may be a device: %s', async (path) => {
    const sink = await open(path);
    if (path === '/dev/full') await expect(sink.write(Buffer.from('x\n'))).rejects.toMatchObject({ code: 'ENOSPC' });
    else expect(await sink.write(Buffer.from('x\n'))).toBe(2);
    expect(await sink.retract(1)).toBe(false);
    await sink.close();
  });
});

describe('what cannot be opened says the path, the reason and what to do', () => {
  const refusal = async (path: string): Promise<Error> => {
    const error = await open(path).then(
      () => undefined,
      (e: Error) => e,
    );
    expect(error).toMatchObject({ code: 'TCPL_E_OUTPUT', exitCode: 1 });
    expect(error!.message).toContain(`cannot open the access log ${path} for appending`);
    expect(error!.message).toContain(KEY);
    return error!;
  };

  it('a directory that is missing', async () => {
    const { message } = await refusal(join(directory, 'missing', 'access.log'));
    expect(message).toContain('ENOENT');
    expect(message).toContain(`create the directory ${join(directory, 'missing')}`);
  });

  it('a directory', async () => {
    const { message } = await refusal(directory);
    expect(message).toContain('EISDIR');
    expect(message).toContain('name a file in it');
  });

  it('a file in the place of a directory', async () => {
    fs.writeFileSync(join(directory, 'file'), '');
    const { message } = await refusal(join(directory, 'file', 'access.log'));
    expect(message).toContain('ENOTDIR');
    expect(message).toContain(`${join(directory, 'file')} is no directory`);
  });

  it('a place without permission', async () => {
    fs.chmodSync(directory, 0o500);
    const root = process.geteuid!() === 0;
    if (root) process.seteuid!(NOBODY);
    const user = process.geteuid!();
    try {
      const { message } = await refusal(join(directory, 'access.log'));
      expect(message).toContain('EACCES');
      expect(message).toContain(`let user ${user} write there`);
    } finally {
      if (root) process.seteuid!(0);
      fs.chmodSync(directory, 0o700);
    }
  });

  it('a FIFO without a reader', async () => {
    const path = join(directory, 'fifo');
    execFileSync('mkfifo', [path]);
    await expect(open(path)).rejects.toThrow(/ENXIO.*start the reader first/);
  });
});

describe('a FIFO', () => {
  const fifo = (): { path: string; reader: number } => {
    const path = join(directory, 'fifo');
    execFileSync('mkfifo', [path]);
    return { path, reader: fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK) };
  };

  /** What is in the pipe now, `most` bytes of it. */
  const drain = (reader: number, most = 1 << 20): string => {
    const buffer = Buffer.alloc(most);
    try {
      return buffer.subarray(0, fs.readSync(reader, buffer)).toString();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return '';
      throw error;
    }
  };

  it('that is full holds up neither the event loop nor the lines of others', async () => {
    const { path, reader } = fifo();
    const stranger = fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
    const sink = await open(path);
    const line = (i: number) => `ours ${i} ${'x'.repeat(i % 700)}\n`;
    const lines = Array.from({ length: 2000 }, (_, i) => line(i)).join('');
    const everything = Buffer.from(lines);
    let ours = 0;
    const writing = (async () => {
      while (ours < everything.length) ours += await sink.write(everything.subarray(ours));
    })();
    let read = '';
    let theirs = 0;
    while (ours < everything.length) {
      // The reader takes little at a time: the pipe stays full, and the room goes to whoever asks first.
      read += drain(reader, 5000);
      try {
        fs.writeSync(stranger, `theirs ${theirs}\n`);
        theirs++;
      } catch (error) {
        expect(error).toMatchObject({ code: 'EAGAIN' });
      }
      for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setImmediate(resolve));
    }
    await writing;
    for (let part = drain(reader); part !== ''; part = drain(reader)) read += part;
    expect(theirs).toBeGreaterThan(0);
    const parts = read.split('\n').slice(0, -1);
    expect(`${parts.filter((l) => l.startsWith('ours ')).join('\n')}\n`).toBe(lines);
    expect(parts.filter((l) => !l.startsWith('ours '))).toEqual(
      Array.from({ length: theirs }, (_, i) => `theirs ${i}`),
    );
    await sink.close();
    fs.closeSync(stranger);
    fs.closeSync(reader);
  });

  it('takes a line longer than a piece', async () => {
    const { path, reader } = fifo();
    const sink = await open(path);
    const lines = Buffer.from(`${'x'.repeat(9999)}\nshort\n`);
    expect(await sink.write(lines)).toBe(10_000);
    expect(await sink.write(lines.subarray(10_000))).toBe(6);
    expect(drain(reader)).toBe(lines.toString());
    await sink.close();
    fs.closeSync(reader);
  });

  it('whose reader leaves is closed', async () => {
    const { path, reader } = fifo();
    const sink = await open(path);
    fs.closeSync(reader);
    await expect(sink.write(Buffer.from('x\n'))).rejects.toBeInstanceOf(SinkClosed);
    await expect(sink.write(Buffer.from('x\n'))).rejects.toBeInstanceOf(SinkClosed);
    await sink.close();
  });

  it('lets go of a write under way when it is closed', async () => {
    const { path, reader } = fifo();
    const sink = await open(path);
    const full = (async () => {
      for (;;) await sink.write(Buffer.from(`${'x'.repeat(4000)}\n`));
    })();
    await new Promise((resolve) => setTimeout(resolve, 20));
    await sink.close();
    await expect(full).rejects.toBeInstanceOf(SinkClosed);
    fs.closeSync(reader);
  });
});
