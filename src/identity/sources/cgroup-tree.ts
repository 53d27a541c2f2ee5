/**
 * Which directory of the cgroup v2 hierarchy has which id (its inode, the kernel's `cgroup->kn->id`). The mounted tree
 * is walked once at the start, again when somebody meets an id it does not have, and now and then to see removals.
 * Walks are asynchronous and never more than one a second, whatever is asked. Not inotify: it takes a watch a
 * directory, races with what is made below a new one, and would only gain cgroups that live for less than a second.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { findCgroup2Mount } from '../../collector/cgroup-mount.ts';
import type { Logger } from '../../collector/logger.ts';
import type { Clock } from '../clock.ts';
import { Misses } from '../misses.ts';

/** Between two walks that misses ask for. */
export const WALK_GAP_MS = 1_000;
/** Between walks when nothing is missed: how late a removal is seen. */
export const WALK_INTERVAL_MS = 60_000;

export interface CgroupChange {
  readonly added: ReadonlyMap<number, string>;
  readonly removed: ReadonlyMap<number, string>;
  /** Ids that were looked for in vain. */
  readonly absent: ReadonlySet<number>;
}

/** Paths begin with `/` at the root of the hierarchy as it is mounted here. */
export interface CgroupTree {
  /** Walks the tree for the first time. Called again, it waits for the same walk. Never rejects. */
  start(): Promise<void>;
  stop(): Promise<void>;
  path(id: number): string | undefined;
  entries(): IterableIterator<[number, string]>;
  /**
   * True while nobody can tell whether the id exists: it is not known, and no walk has begun since it was first missed.
   * Asking causes that walk.
   */
  looking(id: number): boolean;
  /** Called after a walk that changed something or answered a miss. */
  onChange(listener: (change: CgroupChange) => void): () => void;
  /** Why there is no tree to walk; undefined if there is. */
  readonly problem: string | undefined;
  /** Where the hierarchy is mounted; undefined if it is not. */
  readonly mountPoint: string | undefined;
}

export interface CgroupTreeOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Instead of the mount point found in /proc/self/mountinfo. */
  readonly mountPoint?: string;
}

export function createCgroupTree(options: CgroupTreeOptions): CgroupTree {
  return new MountedCgroupTree(options);
}

class MountedCgroupTree implements CgroupTree {
  readonly #options: CgroupTreeOptions;
  readonly #listeners = new Set<(change: CgroupChange) => void>();
  #paths = new Map<number, string>();
  /** Absent for that long, since an id outside of the mounted subtree would otherwise cost a walk a second for ever. */
  readonly #misses = new Misses<number>(WALK_INTERVAL_MS);
  #mountPoint: string | undefined;
  #problem: string | undefined = 'not started';
  #lastWalkMs = Number.NEGATIVE_INFINITY;
  #walk: Promise<void> | undefined;
  #cancel: (() => void) | undefined;
  #urgent = false;
  #started: Promise<void> | undefined;
  #stopped = false;

  constructor(options: CgroupTreeOptions) {
    this.#options = options;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  get mountPoint(): string | undefined {
    return this.#mountPoint;
  }

  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  async #start(): Promise<void> {
    const mountinfo = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
    this.#mountPoint = this.#options.mountPoint ?? findCgroup2Mount(mountinfo);
    if (this.#mountPoint === undefined) {
      this.#problem = 'no cgroup2 file system is mounted (mount -t cgroup2 none /sys/fs/cgroup/unified)';
      this.#options.logger.warn(`cgroups cannot name anybody: ${this.#problem}`);
      return;
    }
    this.#problem = undefined;
    await this.#refresh();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#walk;
  }

  path(id: number): string | undefined {
    return this.#paths.get(id);
  }

  entries(): IterableIterator<[number, string]> {
    return this.#paths.entries();
  }

  looking(id: number): boolean {
    if (id === 0 || this.#mountPoint === undefined || this.#stopped || this.#paths.has(id)) return false;
    const state = this.#misses.ask(id);
    if (state === 'first' && !this.#urgent) {
      this.#urgent = true;
      if (!this.#walk) this.#plan();
    }
    return state !== 'absent';
  }

  onChange(listener: (change: CgroupChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #plan(): void {
    this.#cancel?.();
    if (this.#stopped) return;
    const since = this.#options.clock.now() - this.#lastWalkMs;
    const gap = this.#urgent ? WALK_GAP_MS : WALK_INTERVAL_MS;
    this.#cancel = this.#options.clock.schedule(Math.min(gap, Math.max(0, gap - since)), () => {
      this.#cancel = undefined;
      void this.#refresh();
    });
  }

  #refresh(): Promise<void> {
    this.#walk ??= this.#walkOnce().finally(() => {
      this.#walk = undefined;
      this.#plan();
    });
    return this.#walk;
  }

  async #walkOnce(): Promise<void> {
    this.#urgent = false;
    this.#lastWalkMs = this.#options.clock.now();
    this.#misses.begin(this.#lastWalkMs);
    const paths = new Map<number, string>();
    try {
      await walk(this.#mountPoint!, '', paths);
      this.#problem = undefined;
    } catch (error) {
      const reason = (error as Error).message;
      if (this.#problem === undefined) {
        this.#options.logger.warn(
          `cannot walk the cgroups under ${this.#mountPoint}: ${reason}; the last known ones stay`,
        );
      }
      this.#problem = reason;
      for (const [id, path] of this.#paths) paths.set(id, path);
    }
    const added = difference(paths, this.#paths);
    const removed = difference(this.#paths, paths);
    this.#paths = paths;
    const { absent } = this.#misses.end((id) => paths.has(id), this.#lastWalkMs);
    const gone = [...removed.keys()].filter((id) => !paths.has(id));
    this.#misses.setAbsent(gone, this.#lastWalkMs);
    if (absent.size === 0 && added.size === 0 && removed.size === 0) return;
    for (const listener of this.#listeners) listener({ added, removed, absent });
  }
}

/** Adds `path` and all below it. What vanishes meanwhile is left out; any other failure rejects. */
async function walk(mountPoint: string, path: string, found: Map<number, string>): Promise<void> {
  const directory = join(mountPoint, path);
  try {
    const { ino } = await stat(directory);
    found.set(ino, path === '' ? '/' : path);
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (entry.isDirectory()) await walk(mountPoint, `${path}/${entry.name}`, found);
    }
  } catch (error) {
    if (path === '' || !isGone(error)) throw error;
  }
}

const isGone = (error: unknown): boolean => ['ENOENT', 'ENODEV'].includes((error as NodeJS.ErrnoException).code ?? '');

/** What `a` has and `b` has not, or has under another path. */
function difference(a: ReadonlyMap<number, string>, b: ReadonlyMap<number, string>): Map<number, string> {
  return new Map([...a].filter(([id, path]) => b.get(id) !== path));
}
