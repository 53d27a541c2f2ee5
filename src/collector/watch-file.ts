/**
 * Tells when a file's contents have changed, however the change was made: written in place, replaced by rename (editors),
 * or by another target of a symbolic link on the way (Kubernetes ConfigMaps). It polls: a watch on an inode is lost with
 * each of the latter two, and network file systems have none.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

const POLL_MS = 1000;

export interface FileWatch {
  /** Resolves after the first look: what is read from then on differs from it only by a change that will be told. */
  readonly ready: Promise<void>;
  /** No call of `onChange` after it. */
  close(): void;
}

/**
 * Calls `onChange` when the contents differ from those at the last call (the first time: from those found first), once
 * they have stayed the same for one interval: a file that is still being written is left to be finished. A file that
 * disappears or cannot be read any longer is a change, too. The timer keeps no process alive.
 */
export function watchFile(path: string, onChange: () => void, intervalMs = POLL_MS): FileWatch {
  let closed = false;
  let signature = '';
  let signatureSeen = 0;
  let believed = false;
  let contents = '';
  let told: string | undefined;
  let timer: NodeJS.Timeout | undefined;

  const poll = async (): Promise<void> => {
    const now = Date.now();
    const current = await signatureOf(path);
    if (current !== signature) {
      signature = current;
      signatureSeen = now;
      believed = false;
    }
    // However late this look is: what has not been told, or not been looked at twice, is looked at.
    if (believed && contents === told) return;
    // Two writes within one tick of the file system's clock look alike: only a later look makes a signature believed.
    believed = now - signatureSeen > 2 * intervalMs;
    const before = contents;
    contents = await contentsOf(path);
    if (told === undefined) told = contents;
    else if (!closed && contents === before && contents !== told) {
      told = contents;
      onChange();
    }
  };

  const schedule = (): void => {
    if (closed) return;
    timer = setTimeout(() => void poll().then(schedule), intervalMs).unref();
  };
  const ready = poll();
  void ready.then(schedule);

  return {
    ready,
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** Changes with every write and every replacement; an error's code when there is no such file. */
async function signatureOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
}

async function contentsOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(path), hash);
    return hash.digest('hex');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
}
