/**
 * Whose cgroup is whose, as of when: the pods and containers that the paths of the tree name. A cgroup that has gone
 * still answers for connections opened before, and an id that is used again belongs to the next one.
 */
import type { Clock } from '../clock.ts';
import { Timeline } from '../timeline.ts';
import type { LocalContainer } from '../types.ts';
import { cgroupOwner } from './cgroup-path.ts';
import type { CgroupChange, CgroupTree } from './cgroup-tree.ts';

export class CgroupOwners {
  readonly #clock: Clock;
  readonly #byId = new Timeline<number, LocalContainer>(() => 0);
  /** Live cgroups of a pod: its own, its containers' and those below. */
  readonly #byPod = new Map<string, Set<number>>();
  readonly #off: () => void;
  /** Cgroups of the first walk were there before: from the beginning of time. */
  #walked = false;

  /** Create it before the tree is started: it learns from the tree's changes. */
  constructor(tree: CgroupTree, clock: Clock) {
    this.#clock = clock;
    this.#off = tree.onChange((change) => this.#apply(change));
  }

  /** The pod and container of a cgroup at `atMs` (as Clock.now has it), or now. */
  owner(id: number, atMs: number | undefined): LocalContainer | undefined {
    return atMs === undefined ? this.#byId.current(id) : this.#byId.at(id, atMs);
  }

  /** The pod's cgroups as they are now. */
  cgroupsOf(podUid: string): Iterable<number> {
    return this.#byPod.get(podUid) ?? [];
  }

  prune(limitMs: number): void {
    this.#byId.prune(limitMs);
  }

  close(): void {
    this.#off();
  }

  #apply({ added, removed }: CgroupChange): void {
    const now = this.#clock.now();
    for (const id of removed.keys()) this.#end(id, now);
    for (const [id, path] of added) {
      const { podUid, containerId } = cgroupOwner(path);
      if (podUid === undefined && containerId === undefined) continue;
      this.#byId.begin(id, { podUid, containerId }, this.#walked ? now : undefined);
      if (podUid !== undefined) this.#byPod.set(podUid, (this.#byPod.get(podUid) ?? new Set()).add(id));
    }
    this.#walked = true;
  }

  #end(id: number, nowMs: number): void {
    const owner = this.#byId.current(id);
    if (!owner) return;
    this.#byId.end(id, owner, nowMs);
    const cgroups = owner.podUid === undefined ? undefined : this.#byPod.get(owner.podUid);
    cgroups?.delete(id);
    if (cgroups?.size === 0) this.#byPod.delete(owner.podUid!);
  }
}
