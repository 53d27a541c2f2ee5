/**
 * Who is at the local socket, as one source has it: by cgroup (a path that a workload names, else the pod's UID in the
 * cgroup's name), then by the pod whose processes are in the network namespace, then by address.
 */
import type { Pair } from '../receiver/types.ts';
import type { Holder } from './directory.ts';
import { actsFor, mayBeTunnel } from './hbone.ts';
import type { Source } from './source.ts';
import type { CgroupOwners } from './sources/cgroup-owners.ts';
import type { CgroupTree } from './sources/cgroup-tree.ts';
import type { NamespacePods } from './sources/namespace-pods.ts';
import type { LocalContainer } from './types.ts';

/** As of when, and whether the time for doubts is over: `force` turns `unsure` into the best answer there is. */
export interface Question {
  /** Wall-clock ms; undefined: now. */
  readonly atMs: number | undefined;
  readonly force: boolean;
}

export interface LocalEndParts {
  /** In the configured order. */
  readonly sources: readonly Source[];
  readonly cgroups: CgroupTree;
  readonly owners: CgroupOwners;
  readonly namespaces: NamespacePods;
}

/** The local end of one pair. Make one for each question. */
export class LocalEnd {
  /** By cgroup; where that tells of no pod, by network namespace. */
  readonly container: LocalContainer | undefined;
  readonly #parts: LocalEndParts;
  readonly #pair: Pair;
  readonly #question: Question;
  /** What the cgroup's path tells. */
  readonly #owner: LocalContainer | undefined;
  /** Whom that pod is. */
  #owned: Holder | undefined;

  constructor(parts: LocalEndParts, pair: Pair, question: Question) {
    this.#parts = parts;
    this.#pair = pair;
    this.#question = question;
    this.#owner = parts.owners.owner(pair.cgroupId, question.atMs);
    this.container = this.#owner?.podUid === undefined ? (this.#byNamespace() ?? this.#owner) : this.#owner;
  }

  /** Who it is for this source. `unsure`: its cgroup or its network namespace is being looked up. */
  holder({ shelf, usesCgroups }: Source): Holder | 'unsure' | undefined {
    const { cgroupId, netns, localAddress } = this.#pair;
    const { atMs, force } = this.#question;
    if (mayBeTunnel(this.#pair)) {
      const served = shelf.byAddress(localAddress, atMs);
      if (actsFor(this.#pair, served)) return served;
    }
    const named = shelf.namesCgroup(cgroupId, atMs);
    if (named) return named;
    const podUid = this.#owner?.podUid;
    const owner = podUid === undefined ? undefined : shelf.byPod(podUid, atMs);
    if (owner) {
      this.#owned = owner;
      return owner;
    }
    if (!force && usesCgroups && this.#parts.cgroups.looking(cgroupId)) return 'unsure';
    const byAddress = shelf.byAddress(localAddress, atMs);
    if (!shelf.holdsPods) return byAddress;
    if (this.container === undefined && !force && this.#parts.namespaces.looking(netns)) return 'unsure';
    const pod = this.container?.podUid;
    if (pod === undefined) return byAddress;
    // An address that the source still gives to another pod has changed hands, and the source will say so.
    return shelf.byPod(pod, atMs) ?? (isOtherPod(byAddress, pod) ? undefined : byAddress);
  }

  /** The container, if it is the workload's own: a proxy that acts for it, or another pod at its address, is not. */
  containerOf(holder: Holder): LocalContainer | undefined {
    const { container } = this;
    if (!container || actsFor(this.#pair, holder)) return undefined;
    const isOwn = holder === this.#owned || container.podUid === undefined || !isOtherPod(holder, container.podUid);
    return isOwn ? container : undefined;
  }

  #byNamespace(): LocalContainer | undefined {
    if (!this.#parts.sources.some(({ shelf }) => shelf.holdsPods)) return undefined;
    return this.#parts.namespaces.owner(this.#pair.netns, this.#question.atMs);
  }
}

/** A workload that is a pod, and not this one. */
function isOtherPod(holder: Holder | undefined, podUid: string): boolean {
  const known = holder?.object.podUids;
  return known !== undefined && known.length > 0 && known[0] !== podUid && !known.includes(podUid);
}
