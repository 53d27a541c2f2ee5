/** One slot in one generation, as identity knows it from its first sight until the slot is reused. */
import type { Pair, PairSource } from '../receiver/types.ts';
import type { Peers, Workload } from './types.ts';

export interface Entry {
  readonly source: PairSource;
  readonly pair: Pair;
  /** Wall-clock ms of the pair's creation: names are as of then. */
  readonly createdMs: number;
  /** Its labels; undefined while it waits. Set once, never changed. */
  peers: Peers | undefined;
  /** Wall-clock ms at which waiting ends; undefined when it does not wait. */
  deadlineMs: number | undefined;
  /** The remote end was named by the other view of the connection. */
  joined: boolean;
  /** Each of its connections may have met another workload than the labels say or will say: see Resolution. */
  backendVaries: boolean;
  /** Its key has left the kernel's index: nothing more is asked about it. */
  renewed: boolean;
  /** Workloads that no source holds (executables, an earlier agent's): they live while this slot has open connections. */
  heldByUse: readonly Workload[];
  /** Its number in the index; undefined while no index has it. Set by the index. */
  place: number | undefined;
}

/** The end on whose socket the entry's connections were counted. */
export const localEnd = (peers: Peers): Workload | undefined =>
  peers.reporter === 'source' ? peers.source : peers.destination;

/** The other end. */
export const remoteEnd = (peers: Peers): Workload | undefined =>
  peers.reporter === 'source' ? peers.destination : peers.source;
