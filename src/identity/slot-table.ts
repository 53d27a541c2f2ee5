/**
 * What is known of the slots of one receiver, in arrays by slot number: the hot path asks here for every row and gets
 * its answer from two array reads.
 */
import type { PairSource } from '../receiver/types.ts';
import type { Entry } from './entry.ts';
import type { Peers, Workload } from './types.ts';
import type { WorkloadPool } from './workload-pool.ts';

const FIRST_CAPACITY = 1024;

export class SlotTable {
  readonly source: PairSource;
  readonly #pool: WorkloadPool;
  #generation = new Uint32Array(FIRST_CAPACITY);
  #peers: (Peers | undefined)[] = new Array(FIRST_CAPACITY).fill(undefined);
  #entries: (Entry | undefined)[] = new Array(FIRST_CAPACITY).fill(undefined);
  /** Open connections, by the changes of the gauge seen so far. */
  #active = new Int32Array(FIRST_CAPACITY);
  /** By slot, of the few that have some: see Entry. */
  readonly #heldByUse = new Map<number, readonly Workload[]>();
  /** The last batch whose gauge changes were counted, by its time and first slot: a sweep is several batches. */
  #countedNs = Number.NEGATIVE_INFINITY;
  #countedSlot = -1;

  constructor(source: PairSource, pool: WorkloadPool) {
    this.source = source;
    this.#pool = pool;
  }

  /** The labels of a slot that has them. */
  labelled(slot: number, generation: number): Peers | undefined {
    return this.#generation[slot] === generation ? this.#peers[slot] : undefined;
  }

  entry(slot: number, generation: number): Entry | undefined {
    return this.#generation[slot] === generation ? this.#entries[slot] : undefined;
  }

  /** Puts a new entry in its slot and returns the one of an earlier generation that it takes the place of. */
  put(entry: Entry): Entry | undefined {
    const { slot, generation } = entry.pair;
    this.#reserve(slot);
    const old = this.#entries[slot];
    this.#end(slot);
    this.#generation[slot] = generation;
    this.#entries[slot] = entry;
    this.#peers[slot] = entry.peers;
    return old;
  }

  label(entry: Entry, peers: Peers, heldByUse: readonly Workload[]): void {
    entry.peers = peers;
    entry.heldByUse = heldByUse;
    const { slot, generation } = entry.pair;
    if (this.entry(slot, generation) !== entry) return;
    this.#peers[slot] = peers;
    if (heldByUse.length === 0) return;
    this.#heldByUse.set(slot, heldByUse);
    const active = this.#active[slot]!;
    if (active > 0) for (const workload of heldByUse) this.#pool.hold(workload, active);
  }

  /** True for the first of the pipelines that see a batch, one after the other: that one counts its gauge changes. */
  claimBatch(timeNs: number, firstSlot: number): boolean {
    if (timeNs === this.#countedNs && firstSlot === this.#countedSlot) return false;
    this.#countedNs = timeNs;
    this.#countedSlot = firstSlot;
    return true;
  }

  /** The number of open connections of a slot changed: workloads that live by their connections live or die by it. */
  countActive(slot: number, generation: number, change: number): void {
    if (this.#generation[slot] !== generation) return;
    const before = Math.max(0, this.#active[slot]!);
    this.#active[slot]! += change;
    const heldByUse = this.#heldByUse.size > 0 ? this.#heldByUse.get(slot) : undefined;
    if (!heldByUse) return;
    const after = Math.max(0, this.#active[slot]!);
    for (const workload of heldByUse) {
      if (after > before) this.#pool.hold(workload, after - before);
      else if (after < before) this.#pool.release(workload, before - after);
    }
  }

  /** The slot's next generation begins without connections. */
  #end(slot: number): void {
    const active = this.#active[slot]!;
    this.#active[slot] = 0;
    const heldByUse = this.#heldByUse.size > 0 ? this.#heldByUse.get(slot) : undefined;
    if (!heldByUse) return;
    this.#heldByUse.delete(slot);
    if (active > 0) for (const workload of heldByUse) this.#pool.release(workload, active);
  }

  #reserve(slot: number): void {
    if (slot < this.#generation.length) return;
    const capacity = 2 ** Math.ceil(Math.log2(slot + 1));
    const generation = new Uint32Array(capacity);
    generation.set(this.#generation);
    this.#generation = generation;
    const active = new Int32Array(capacity);
    active.set(this.#active);
    this.#active = active;
    while (this.#peers.length < capacity) {
      this.#peers.push(undefined);
      this.#entries.push(undefined);
    }
  }
}
