/**
 * Which pod a network namespace is, told by the processes in it. It is for hosts where the v2 hierarchy tells nothing:
 * on a hybrid or v1 host a container's sockets are all in its root, but its processes are in v1 cgroups of the same
 * names. Host-network pods cannot be told that way.
 *
 * /proc is read off the hot path, when somebody meets a namespace that is not known, and for at most a twentieth of the
 * time. There is no history: the kernel uses a namespace's inode again at once, so an answer is given only while a
 * process that was found there is still there, and only for times since the pod's first process started.
 */
import type { Logger } from '../../collector/logger.ts';
import type { Clock } from '../clock.ts';
import { Misses } from '../misses.ts';
import { breathe } from '../slices.ts';
import type { LocalContainer } from '../types.ts';
import { Processes } from './processes.ts';

/** Between two readings of /proc, at least; longer where one takes long. */
export const SCAN_GAP_MS = 1_000;
export const GAP_PER_SCAN = 20;
/** How long a namespace in which no pod was found is not looked for again. */
export const KEEP_ABSENT_MS = 10_000;
/** A process's start is told to 10 ms, and so is the time since the boot. */
const START_SLACK_MS = 20;

export interface NamespacePods {
  /** The pod of the network namespace (inode) at `atMs` (as Clock.now has it), or now; its container where it has one only. */
  owner(netns: number, atMs: number | undefined): LocalContainer | undefined;
  /** True while nobody can tell whose it is. Asking causes a reading of /proc. */
  looking(netns: number): boolean;
  /** Called after a reading with the namespaces that somebody waited for. */
  onChange(listener: (netns: ReadonlySet<number>) => void): () => void;
  stop(): Promise<void>;
}

export interface NamespacePodsOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly processes?: Processes;
  /** What readings are timed by. */
  readonly monotonicMs?: () => number;
}

export function createNamespacePods(options: NamespacePodsOptions): NamespacePods {
  return new ProcNamespacePods(options);
}

interface Process {
  readonly pid: string;
  readonly startTicks: number;
}

interface Found {
  readonly owner: LocalContainer;
  /** The first of the pod's processes there. */
  readonly witness: Process;
  /** Wall-clock ms from which the namespace is the pod's for certain. */
  readonly sinceMs: number;
}

class ProcNamespacePods implements NamespacePods {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #processes: Processes;
  readonly #monotonicMs: () => number;
  readonly #listeners = new Set<(netns: ReadonlySet<number>) => void>();
  readonly #misses = new Misses<number>(KEEP_ABSENT_MS);
  #found = new Map<number, Found>();
  #shared: ReadonlySet<number | undefined> | undefined;
  #lastScanMs = Number.NEGATIVE_INFINITY;
  #gapMs = SCAN_GAP_MS;
  #scan: Promise<void> | undefined;
  #cancel: (() => void) | undefined;
  #saidRefused = false;
  #stopped = false;

  constructor(options: NamespacePodsOptions) {
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#processes = options.processes ?? new Processes();
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now());
  }

  owner(netns: number, atMs: number | undefined): LocalContainer | undefined {
    const found = this.#found.get(netns);
    if (!found || (atMs !== undefined && atMs < found.sinceMs)) return undefined;
    if (this.#isThere(found.witness, netns)) return found.owner;
    this.#found.delete(netns);
    return undefined;
  }

  looking(netns: number): boolean {
    if (this.#stopped || this.#found.has(netns) || this.#sharedNamespaces().has(netns)) return false;
    const state = this.#misses.ask(netns);
    if (state === 'first') this.#plan();
    return state !== 'absent';
  }

  onChange(listener: (netns: ReadonlySet<number>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#scan;
  }

  /** One reading answers all who wait; those who come during it wait for the next. */
  #plan(): void {
    if (this.#cancel || this.#scan || this.#stopped) return;
    const since = this.#clock.now() - this.#lastScanMs;
    this.#cancel = this.#clock.schedule(Math.max(0, this.#gapMs - since), () => {
      this.#cancel = undefined;
      this.#scan = this.#scanOnce().finally(() => {
        this.#scan = undefined;
        if (this.#misses.waiting) this.#plan();
      });
    });
  }

  async #scanOnce(): Promise<void> {
    const began = this.#monotonicMs();
    this.#lastScanMs = this.#clock.now();
    this.#misses.begin(this.#lastScanMs);
    try {
      this.#found = await this.#read();
    } catch (error) {
      this.#logger.warn(`cannot read which processes there are, namespaces name nobody: ${(error as Error).message}`);
      this.#found = new Map();
    }
    this.#sayRefused();
    this.#gapMs = Math.max(SCAN_GAP_MS, GAP_PER_SCAN * (this.#monotonicMs() - began));
    const { found, absent } = this.#misses.end((netns) => this.#found.has(netns), this.#lastScanMs);
    for (const listener of this.#listeners) listener(new Set([...found, ...absent]));
  }

  async #read(): Promise<Map<number, Found>> {
    const shared = this.#sharedNamespaces();
    const pods = new Map<number, PodProcesses>();
    for (const pid of this.#processes.pids()) {
      await breathe();
      const netns = this.#processes.netns(pid);
      if (netns === undefined || shared.has(netns)) continue;
      const owner = this.#processes.container(pid);
      const startTicks = this.#processes.startTicks(pid);
      if (owner === undefined || startTicks === undefined) continue;
      const pod = pods.get(netns) ?? new PodProcesses();
      pods.set(netns, pod);
      pod.add(owner, { pid, startTicks });
    }
    const found = new Map<number, Found>();
    for (const [netns, pod] of pods) {
      const { owner, first } = pod;
      if (!owner || !first) continue;
      const sinceMs = this.#processes.wallClock(first.startTicks, this.#clock.now()) - START_SLACK_MS;
      found.set(netns, { owner, witness: first, sinceMs });
    }
    return found;
  }

  /** The node's own and this agent's: processes of many pods may be in them. And 0, which is none. */
  #sharedNamespaces(): ReadonlySet<number | undefined> {
    this.#shared ??= new Set([0, this.#processes.netns('1'), this.#processes.netns('self')]);
    return this.#shared;
  }

  #isThere({ pid, startTicks }: Process, netns: number): boolean {
    return this.#processes.netns(pid) === netns && this.#processes.startTicks(pid) === startTicks;
  }

  #sayRefused(): void {
    const refused = this.#processes.takeRefused();
    if (refused === 0 || this.#saidRefused) return;
    this.#saidRefused = true;
    this.#logger.warn(
      `${refused} processes do not tell their network namespace: pods that their cgroup does not tell are named by address only. Give the agent CAP_SYS_PTRACE`,
    );
  }
}

/** The processes of pods in one namespace. */
class PodProcesses {
  #podUid: string | undefined;
  #containerId: string | undefined;
  #one = true;
  #oneContainer = true;
  first: Process | undefined;

  add({ podUid, containerId }: LocalContainer, process: Process): void {
    if (this.first) {
      this.#one &&= podUid === this.#podUid;
      this.#oneContainer &&= containerId === this.#containerId;
    }
    this.#podUid = podUid;
    this.#containerId = containerId;
    if (!this.first || process.startTicks < this.first.startTicks) this.first = process;
  }

  /** undefined if they are of several pods. */
  get owner(): LocalContainer | undefined {
    if (!this.#one) return undefined;
    return { podUid: this.#podUid, containerId: this.#oneContainer ? this.#containerId : undefined };
  }
}
