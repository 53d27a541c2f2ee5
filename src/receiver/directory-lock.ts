/**
 * One owner at a time for a directory, across processes and containers that see the same file system: flock(2) on the
 * directory itself. The kernel lets go of it when the process ends, however it ends, so there is no stale lock and no
 * file to leave behind.
 */
import { closeSync, constants, openSync, readFileSync, statSync } from 'node:fs';
import koffi from 'koffi';
import { systemError } from './libbpf.ts';

const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;

export type DirectoryLock =
  | { readonly held: true; release(): void }
  /** `pid`: the owner; undefined when it is in another process namespace. */
  | { readonly held: false; readonly pid: number | undefined };

/** Throws what open(2) and flock(2) give. */
export function lockDirectory(path: string): DirectoryLock {
  const flock = koffi.load('libc.so.6').func('int flock(int fd, int operation)');
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  if (flock(fd, LOCK_EX | LOCK_NB) === 0) return { held: true, release: () => closeSync(fd) };
  const errno = koffi.errno();
  closeSync(fd);
  if (errno !== EWOULDBLOCK) throw systemError('flock', path, errno);
  return { held: false, pid: ownerOf(statSync(path, { bigint: true }).ino, readFileSync('/proc/locks', 'latin1')) };
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
