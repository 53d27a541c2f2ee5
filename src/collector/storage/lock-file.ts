/**
 * One owner for a file, across processes. Node has no flock, so the lock is a file that names its owner; one whose owner
 * is gone is taken over. It is made by linking a file that is complete, so nobody reads half of it.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Two that find the same dead owner at once both replace it; whoever's file is there after this long has won. */
const TAKEOVER_SETTLE_MS = 50;

export class LockHeldError extends Error {
  readonly pid: number;

  constructor(pid: number) {
    super(pid === process.pid ? 'it is open in this process already' : `process ${pid} holds it`);
    this.pid = pid;
  }
}

export interface LockFile {
  release(): Promise<void>;
}

/** @throws LockHeldError when a living process holds it; the file system's errors. */
export async function acquireLock(path: string): Promise<LockFile> {
  const mine = JSON.stringify({ ...identify(process.pid), token: randomUUID() });
  const draft = `${path}.${process.pid}.${randomUUID()}`;
  await writeFile(draft, mine, { mode: 0o600 });
  try {
    await claim(path, draft, mine);
  } finally {
    await rm(draft, { force: true });
  }
  return {
    async release() {
      // Only if it is still ours: someone may have taken it for dead (another container's view of processes).
      if ((await readOwner(path)) === mine) await rm(path, { force: true });
    },
  };
}

async function claim(path: string, draft: string, mine: string): Promise<void> {
  try {
    await link(draft, path);
    return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const owner = await readOwner(path);
  const holder = owner === undefined ? undefined : livingHolder(owner);
  if (holder !== undefined) throw new LockHeldError(holder);
  await rename(draft, path);
  await sleep(TAKEOVER_SETTLE_MS);
  const winner = await readOwner(path);
  if (winner !== mine) throw new LockHeldError((winner === undefined ? undefined : livingHolder(winner)) ?? 0);
}

async function readOwner(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

interface Owner {
  readonly pid: number;
  /** Clock ticks since boot: a number that is given again has another. */
  readonly startTime: string;
  readonly bootId: string;
  /** Numbers of another namespace say nothing here, so such an owner counts as gone: a container's own file outlives it. */
  readonly pidNamespace: string;
}

function identify(pid: number): Owner {
  return {
    pid,
    startTime: startTimeOf(pid) ?? '',
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    pidNamespace: readlinkSync('/proc/self/ns/pid'),
  };
}

/** The owner's number if that very process lives. */
function livingHolder(text: string): number | undefined {
  const owner = parseOwner(text);
  if (owner === undefined) return undefined;
  const now = identify(owner.pid);
  const lives = now.startTime !== '' && now.startTime === owner.startTime;
  return lives && now.bootId === owner.bootId && now.pidNamespace === owner.pidNamespace ? owner.pid : undefined;
}

function parseOwner(text: string): Owner | undefined {
  try {
    const owner = JSON.parse(text) as Partial<Owner> | null;
    return Number.isSafeInteger(owner?.pid) ? (owner as Owner) : undefined;
  } catch {
    // Not written by this program, or damaged by a crash of the machine: nobody's.
    return undefined;
  }
}

/** Field 22 of /proc/PID/stat, counted behind the command's name, which may hold blanks and brackets. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    // No such process.
    return undefined;
  }
}
