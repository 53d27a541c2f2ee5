/** One journal file: records appended durably, read back whole, replaced atomically. */
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TcpledgerError } from '../errors.ts';
import type { Journal } from '../storage.ts';
import { encodeFrames, LONGEST_RECORD, MAGIC, scanFrames } from './frames.ts';
import type { LockFile } from './lock-file.ts';

/** What to do, by errno. */
const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: 'The disk is full: make room on it, or move the directory.',
  EDQUOT: 'The disk quota is used up: raise it, or move the directory.',
  EROFS: 'The file system is read-only: mount it for writing, or name another directory.',
  EACCES: 'This user may not write there: give it write permission, or name another directory.',
  EPERM: 'This user may not write there: give it write permission, or name another directory.',
  ENOTDIR: 'A part of the path is a file: name another directory.',
  EIO: 'The disk reports an error: look at the kernel log.',
};

export function storageError(attempt: string, error: unknown): TcpledgerError {
  const { code, message } = error as NodeJS.ErrnoException;
  const remedy = REMEDIES[code ?? ''];
  return new TcpledgerError('TCPL_E_STORAGE', `${attempt} failed: ${message}.${remedy ? ` ${remedy}` : ''}`, {
    cause: error,
  });
}

/** Told of what an operator should know: failed writes and records lost to damage. */
export interface JournalEvents {
  failed(): void;
  damaged(file: string, records: number): void;
}

export class JournalFile implements Journal {
  readonly #path: string;
  readonly #lock: LockFile;
  readonly #events: JournalEvents;
  #file: FileHandle;
  /** Where the next frame goes; what stands behind it is the rest of a failed write. */
  #end: number;
  /** Operations, one after the other. */
  #work: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(path: string, lock: LockFile, events: JournalEvents, file: FileHandle, end: number) {
    this.#path = path;
    this.#lock = lock;
    this.#events = events;
    this.#file = file;
    this.#end = end;
  }

  /** Takes over the lock: `close` releases it. Rejects with TCPL_E_STORAGE, the lock then still held. */
  static async open(path: string, lock: LockFile, events: JournalEvents): Promise<JournalFile> {
    let file: FileHandle | undefined;
    try {
      // Left by a crash in the midst of a rewrite: the old contents count.
      await rm(draftOf(path), { force: true });
      file = await openOrCreate(path);
      const contents = await file.readFile();
      const end = await begin(path, file, contents);
      const { damaged } = scanFrames(contents);
      if (damaged > 0) events.damaged(path, damaged);
      return new JournalFile(path, lock, events, file, end);
    } catch (error) {
      await file?.close();
      throw error instanceof TcpledgerError ? error : storageError(`Opening the journal ${path}`, error);
    }
  }

  read(): Promise<Buffer[]> {
    return this.#do(`Reading the journal ${this.#path}`, async () => {
      const contents = await readFile(this.#path);
      return scanFrames(contents.subarray(0, this.#end)).records;
    });
  }

  append(records: readonly Buffer[]): Promise<void> {
    return this.#do(`Writing to the journal ${this.#path}`, async () => {
      if (records.length === 0) return;
      const bytes = framesOf(records);
      try {
        await writeAll(this.#file, bytes, this.#end);
        await this.#file.datasync();
      } catch (error) {
        this.#events.failed();
        // Best effort: what stays behind #end is overwritten by the next append, and read() does not look there.
        await this.#file.truncate(this.#end).catch(() => this.#events.failed());
        throw error;
      }
      this.#end += bytes.length;
    });
  }

  rewrite(records: readonly Buffer[]): Promise<void> {
    return this.#do(`Rewriting the journal ${this.#path}`, async () => {
      const bytes = Buffer.concat([MAGIC, framesOf(records)]);
      const draft = draftOf(this.#path);
      let file: FileHandle | undefined;
      try {
        file = await open(draft, 'w+', 0o600);
        await writeAll(file, bytes, 0);
        await file.sync();
        await rename(draft, this.#path);
      } catch (error) {
        this.#events.failed();
        await file?.close();
        await rm(draft, { force: true });
        throw error;
      }
      const previous = this.#file;
      this.#file = file;
      this.#end = bytes.length;
      await previous.close();
      await syncDirectory(this.#path);
    });
  }

  close(): Promise<void> {
    return this.#do(
      `Closing the journal ${this.#path}`,
      async () => {
        if (this.#closed) return;
        this.#closed = true;
        try {
          await this.#file.close();
        } finally {
          await this.#lock.release();
        }
      },
      true,
    );
  }

  #do<T>(attempt: string, work: () => Promise<T>, whenClosed = false): Promise<T> {
    const result = this.#work.then(async () => {
      if (this.#closed && !whenClosed) throw new TcpledgerError('TCPL_E_STORAGE', `${attempt} failed: it is closed.`);
      try {
        return await work();
      } catch (error) {
        throw error instanceof TcpledgerError ? error : storageError(attempt, error);
      }
    });
    this.#work = result.catch(() => {});
    return result;
  }
}

const draftOf = (path: string) => `${path}.new`;

function framesOf(records: readonly Buffer[]): Buffer {
  for (const { length } of records) {
    if (length > LONGEST_RECORD) throw new Error(`a record of ${length} bytes is longer than ${LONGEST_RECORD}`);
  }
  return encodeFrames(records);
}

async function openOrCreate(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return await open(path, 'wx+', 0o600);
  }
}

/** Writes the magic where a new file (or one that a crash left without it) lacks it; cuts a torn end off. */
async function begin(path: string, file: FileHandle, contents: Buffer): Promise<number> {
  const head = contents.subarray(0, MAGIC.length);
  if (head.equals(MAGIC)) {
    const { end } = scanFrames(contents);
    if (end < contents.length) {
      await file.truncate(end);
      await file.datasync();
    }
    return end;
  }
  const unfinished = contents.length < MAGIC.length && MAGIC.subarray(0, contents.length).equals(contents);
  if (!unfinished && contents.some((byte) => byte !== 0)) {
    const what = `Opening the journal ${path} failed: it begins with ${JSON.stringify(head.toString('latin1'))}`;
    throw new TcpledgerError('TCPL_E_STORAGE', `${what}, so it is no journal of this version. Move the file away.`);
  }
  await file.truncate(0);
  await writeAll(file, MAGIC, 0);
  await file.datasync();
  await syncDirectory(path);
  return MAGIC.length;
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** A name is durable only when its directory is. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(dirname(path), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
