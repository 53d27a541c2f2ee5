/** What /proc tells of a process, as far as pods need it (proc_pid_ns(5), proc_pid_cgroup(5), proc_pid_stat(5)). */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { LocalContainer } from '../types.ts';
import { cgroupOwner } from './cgroup-path.ts';

/** USER_HZ: ticks a second in what the kernel tells user space, 100 wherever Linux runs today. */
const TICKS_PER_SECOND = 100;

export class Processes {
  readonly #root: string;
  #refused = 0;

  /** `root`: where the proc file system is mounted. */
  constructor(root = '/proc') {
    this.#root = root;
  }

  /** Processes that would not tell their namespace since this was last asked: CAP_SYS_PTRACE is missing. */
  takeRefused(): number {
    const refused = this.#refused;
    this.#refused = 0;
    return refused;
  }

  /** @throws where there is no proc file system. */
  pids(): string[] {
    return readdirSync(this.#root).filter((name) => /^\d+$/.test(name));
  }

  /** Inode of its network namespace; undefined if it has ended or does not tell. */
  netns(pid: string): number | undefined {
    try {
      const inode = /^net:\[(\d+)\]$/.exec(readlinkSync(join(this.#root, pid, 'ns', 'net')))?.[1];
      return inode === undefined ? undefined : Number(inode);
    } catch (error) {
      if (['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) this.#refused++;
      return undefined;
    }
  }

  /** The pod and container that its cgroups name, in whatever hierarchy; undefined if there is no pod among them. */
  container(pid: string): LocalContainer | undefined {
    return containerOf(this.#read(pid, 'cgroup') ?? '');
  }

  /** Clock ticks from the boot to its start: tells a process from a later one of the same pid. */
  startTicks(pid: string): number | undefined {
    // Behind the command's name, which is in parentheses and may hold any character, comes field 3.
    const fields = this.#read(pid, 'stat')?.split(') ').at(-1)?.split(' ');
    const ticks = Number(fields?.[22 - 3]);
    return Number.isFinite(ticks) ? ticks : undefined;
  }

  /** Wall-clock ms of a time in ticks from the boot, to 20 ms. */
  wallClock(ticks: number, nowMs: number): number {
    const uptimeSeconds = Number(readFileSync(join(this.#root, 'uptime'), 'utf8').split(' ')[0]);
    return nowMs - uptimeSeconds * 1000 + (ticks / TICKS_PER_SECOND) * 1000;
  }

  #read(pid: string, file: string): string | undefined {
    try {
      return readFileSync(join(this.#root, pid, file), 'utf8');
    } catch {
      return undefined; // it has ended
    }
  }
}

/** From the text of /proc/PID/cgroup: lines of `hierarchy:controllers:path`, of which a path may hold colons. */
export function containerOf(cgroups: string): LocalContainer | undefined {
  for (const line of cgroups.split('\n')) {
    const { podUid, containerId } = cgroupOwner(line.split(':').slice(2).join(':'));
    if (podUid !== undefined) return { podUid, containerId };
  }
  return undefined;
}
