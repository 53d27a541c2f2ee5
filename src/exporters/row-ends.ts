/**
 * The workloads seen at the ends of a row. A label set names an owner (`reviews-v1`), and many pods may stand behind it:
 * an end is gone only when every pod that was seen there is.
 */
import type { Peers, Workload } from '../identity/types.ts';

/** Pods seen at an end before those long gone are looked for and let go. */
const PRUNE_FROM = 8;

export class RowEnds {
  #source: Workload[] = [];
  #destination: Workload[] = [];

  add(peers: Peers): void {
    this.#source = withWorkload(this.#source, peers.source);
    this.#destination = withWorkload(this.#destination, peers.destination);
  }

  /** True if an end was gone before `sinceMs` (wall-clock milliseconds). An unknown end is never gone. */
  goneSince(sinceMs: number): boolean {
    return everyGone(this.#source, sinceMs) || everyGone(this.#destination, sinceMs);
  }
}

function everyGone(workloads: readonly Workload[], sinceMs: number): boolean {
  return workloads.length > 0 && workloads.every((w) => w.goneSinceMs !== undefined && w.goneSinceMs <= sinceMs);
}

/** `workloads` and `added`. The gone are let go where `added` lives: the end's being gone now waits for `added` alone. */
function withWorkload(workloads: Workload[], added: Workload | undefined): Workload[] {
  if (added === undefined || workloads.includes(added)) return workloads;
  const kept =
    workloads.length >= PRUNE_FROM && added.goneSinceMs === undefined
      ? workloads.filter((w) => w.goneSinceMs === undefined)
      : workloads;
  return [...kept, added];
}
