/** cgroups of the v2 hierarchy, which a hybrid host mounts at /sys/fs/cgroup/unified. */
import { mkdirSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { undoLater } from './cleanup.ts';

let made = 0;

export interface Cgroup {
  /** In the file system. */
  readonly directory: string;
  /** Within the hierarchy: `/name`. */
  readonly path: string;
  /** The inode: what the kernel calls the cgroup's id. */
  readonly id: bigint;
  /** All processes must have left it. */
  remove(): void;
}

export function cgroupRoot(): string {
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [, directory, type] = line.split(' ');
    if (type === 'cgroup2') return directory!;
  }
  throw new Error('no cgroup v2 hierarchy is mounted (/proc/self/mounts)');
}

/** `parent`: the cgroup below which it is made; the root if it is not given. */
export function makeCgroup(name: string, parent?: Cgroup): Cgroup {
  const path = `${parent?.path ?? ''}/tcpl-${process.pid}-${made++}-${name}`;
  const directory = join(cgroupRoot(), path);
  mkdirSync(directory);
  return {
    directory,
    path,
    id: statSync(directory, { bigint: true }).ino,
    remove: undoLater(() => rmdirSync(directory)),
  };
}
