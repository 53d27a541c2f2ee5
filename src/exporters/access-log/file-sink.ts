/** A file or character device, written through the thread pool: a slow disk delays lines, not the event loop. */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import type { Sink } from './sink.ts';

const close = promisify(fs.close);
const fstat = promisify(fs.fstat);
const ftruncate = promisify(fs.ftruncate);
const read = promisify(fs.read);
const write = promisify(fs.write);

/** Owns `fd`, opened by us with O_APPEND. `path` is where it was opened. */
export async function createFileSink(fd: number, path: string): Promise<Sink> {
  return new FileSink(fd, { owned: true, endsTorn: await endsInsideLine(path) });
}

/** stdout or stderr that the shell sent to a file or a terminal: shared with others and perhaps without O_APPEND. */
export function createInheritedFileSink(fd: number): Sink {
  return new FileSink(fd, { owned: false, endsTorn: false });
}

class FileSink implements Sink {
  readonly #fd: number;
  readonly #owned: boolean;
  /** The file's last line has no end: whoever wrote it was killed. Ours must not be glued to it. */
  #endsTorn: boolean;
  /** Size of the file after the last write that stopped short. */
  #sizeWhenShort = -1;
  /** The write under way: its descriptor must not be closed, and perhaps be another file's, before it is done. */
  #writing: Promise<unknown> = Promise.resolve();

  constructor(fd: number, { owned, endsTorn }: { owned: boolean; endsTorn: boolean }) {
    this.#fd = fd;
    this.#owned = owned;
    this.#endsTorn = endsTorn;
  }

  write(lines: Buffer): Promise<number> {
    const written = this.#write(lines);
    this.#writing = written.catch(() => undefined);
    return written;
  }

  async retract(count: number): Promise<boolean> {
    if (!this.#owned) return false;
    try {
      const stats = await fstat(this.#fd);
      // Another size than after our write: somebody else has written behind us, or has truncated the file.
      if (!stats.isFile() || stats.size !== this.#sizeWhenShort || stats.size < count) return false;
      await ftruncate(this.#fd, stats.size - count);
      return true;
    } catch {
      // An append-only file, or an input/output error: the caller finishes the line instead.
      return false;
    }
  }

  async close(): Promise<void> {
    await this.#writing;
    if (this.#owned) await close(this.#fd);
  }

  async #write(lines: Buffer): Promise<number> {
    try {
      if (this.#endsTorn) {
        await write(this.#fd, '\n');
        this.#endsTorn = false;
      }
      const { bytesWritten } = await write(this.#fd, lines, 0, lines.length, null);
      if (bytesWritten < lines.length) this.#sizeWhenShort = (await fstat(this.#fd)).size;
      return bytesWritten;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
      throw error;
    }
  }
}

/** Best effort: a file that may be written but not read is taken as it is. */
async function endsInsideLine(path: string): Promise<boolean> {
  let file: fs.promises.FileHandle | undefined;
  try {
    const stats = await fs.promises.stat(path);
    if (!stats.isFile() || stats.size === 0) return false;
    file = await fs.promises.open(path, fs.constants.O_RDONLY);
    const last = Buffer.alloc(1);
    await read(file.fd, last, 0, 1, stats.size - 1);
    return last[0] !== 10;
  } catch {
    return false;
  } finally {
    await file?.close();
  }
}
