/**
 * One owner at a time for an open file or directory, across processes and containers that see the same file system:
 * flock(2). The kernel lets go of it when the owner closes it or ends, however it ends, so there is no stale lock and no
 * file to leave behind.
 */
import { fstatSync, readFileSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';

const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;

export type Claim =
  | { readonly held: true }
  /** `pid`: the owner; undefined when it is in another process namespace. */
  | { readonly held: false; readonly pid: number | undefined };

/** Held until `fd` is closed. Throws what flock(2) gives; `path` is for the message. */
export function claim(fd: number, path: string): Claim {
  const flock = koffi.load('libc.so.6').func('int flock(int fd, int operation)');
  if (flock(fd, LOCK_EX | LOCK_NB) === 0) return { held: true };
  const errno = koffi.errno();
  if (errno !== EWOULDBLOCK) {
    const code = getSystemErrorName(-errno);
    throw Object.assign(new Error(`flock of ${path}: ${code}`), { code, errno, syscall: 'flock' });
  }
  return { held: false, pid: ownerOf(fstatSync(fd, { bigint: true }).ino, readFileSync('/proc/locks', 'latin1')) };
}

/** For messages: who has what could not be claimed. */
export function ownerName(pid: number | undefined): string {
  if (pid === undefined) return 'a process of another container';
  return pid === process.pid ? 'this process' : `process ${pid}`;
}

/**
 * The process that holds an flock on an inode, from the text of /proc/locks, whose lines are
 * `1: FLOCK  ADVISORY  WRITE <pid> <device>:<inode> 0 EOF`. Device numbers there are not those of stat(2) on every file
 * system, so the inode alone is compared.
 */
export function ownerOf(inode: bigint, locks: string): number | undefined {
  const pid = new RegExp(`FLOCK +ADVISORY +WRITE +(\\d+) +[0-9a-f]+:[0-9a-f]+:${inode} `).exec(locks)?.[1];
  return pid === undefined || pid === '0' ? undefined : Number(pid);
}
