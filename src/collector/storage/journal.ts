/** One journal file: records appended durably, read back whole, replaced atomically. */
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TcpledgerError } from '../errors.ts';
import { claim, ownerName } from '../flock.ts';
import type { Journal } from '../storage.ts';
import { encodeFrames, LONGEST_RECORD, MAGIC, scanFrames } from './frames.ts';

/** What to do, by errno. */
const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: 'The disk is full: make room on it, or move the directory.',
  EDQUOT: 'The disk quota is used up: raise it, or move the directory.',
  EROFS: 'The file system is read-only: mount it for writing, or name another directory.',
  EACCES: 'This user may not write there: give it write permission, or name another directory.',
  EPERM: 'This user may not write there: give it write permission, or name another directory.',
  ENOTDIR: 'A part of the path is a file: name another directory.',
  EIO: 'The disk reports an error: look at the kernel log.',
  ENOLCK: 'The file system keeps no locks: name a directory on another one.',
  EOPNOTSUPP: 'The file system keeps no locks: name a directory on another one.',
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
  readonly #events: JournalEvents;
  #file: FileHandle;
  /** Where the next frame goes; what stands behind it is the rest of a failed write. */
  #end: number;
  /** Operations, one after the other. */
  #work: Promise<unknown> = Promise.resolve();
  #closed = false;
  /** Resolves when another owner may open it. */
  readonly closed: Promise<void>;
  #resolveClosed: () => void = () => {};

  private constructor(path: string, events: JournalEvents, file: FileHandle, end: number) {
    this.#path = path;
    this.#events = events;
    this.#file = file;
    this.#end = end;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /** The journal has one owner, across processes, until it is closed. Rejects with TCPL_E_STORAGE. */
  static async open(path: string, events: JournalEvents): Promise<JournalFile> {
    let file: FileHandle | undefined;
    try {
      file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
      await own(path, file);
      // Left by a crash in the midst of a rewrite: the old contents count.
      await rm(draftOf(path), { force: true });
      const contents = await file.readFile();
      const end = await begin(path, file, contents);
      const { damaged } = scanFrames(contents);
      if (damaged > 0) events.damaged(path, damaged);
      return new JournalFile(path, events, file, end);
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
        await own(draft, file);
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
        await this.#file.close();
        this.#resolveClosed();
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

/** Rejects when another owner has the file, or has put another one in its place since it was opened. */
async function own(path: string, file: FileHandle): Promise<void> {
  const claimed = claim(file.fd, path);
  const replaced = claimed.held && (await stat(path)).ino !== (await file.stat()).ino;
  if (claimed.held && !replaced) return;
  const owner = claimed.held ? 'another process' : ownerName(claimed.pid);
  throw new TcpledgerError(
    'TCPL_E_STORAGE',
    `Locking the journal ${path} failed: ${owner} holds it. Stop that agent, or give this one a directory of its own.`,
  );
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
