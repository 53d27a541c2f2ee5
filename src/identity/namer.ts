/**
 * Names slots: meets each once, waits where an end may still become known, labels it once, and asks the kernel half for
 * a fresh slot when the answer has changed since.
 */
import type { Logger } from '../collector/logger.ts';
import type { CounterHandle } from '../collector/telemetry.ts';
import type { PairSource, Role } from '../receiver/types.ts';
import { type Clock, fromWall } from './clock.ts';
import type { Directory, DirectoryChange } from './directory.ts';
import { type Entry, localEnd, remoteEnd } from './entry.ts';
import type { EntryIndex } from './entry-index.ts';
import { formatLabels, parseLabels } from './labels.ts';
import type { Certainty, Resolution, Resolver } from './resolver.ts';
import { SlotTable } from './slot-table.ts';
import type { Peers, Service, Workload } from './types.ts';

/**
 * Slots that may wait at once. A waiting slot costs a row of pair fields (0.7 KiB) in each metrics pipeline. One more
 * is labelled at once by what is known: in a flood names give way, totals never do.
 */
export const MAX_WAITING = 8_192;

/** Entries asked again in one turn of the event loop (about 1 µs each). */
const RECHECKS_A_TURN = 2_000;

/** `known`, `unknown` (never to be known), `timeout` (waited in vain), `given_up` (no room to wait), `recalled`. */
export type LookupResult = 'known' | 'unknown' | 'timeout' | 'given_up' | 'recalled';

export interface NamerParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly directory: Directory;
  readonly resolver: Resolver;
  readonly index: EntryIndex;
  readonly resolveTimeoutMs: number;
  readonly lookups: Readonly<Record<LookupResult, CounterHandle>>;
  /** These entries were waiting and have their labels now: what was held for them can go on. */
  readonly onLabelled: (entries: readonly Entry[]) => void;
}

export class Namer {
  readonly #parts: NamerParts;
  readonly #tables = new Map<PairSource, SlotTable>();
  /** In the order of their deadlines, since all wait equally long. */
  readonly #waiting = new Set<Entry>();
  readonly #met: Entry[] = [];
  readonly #dirty = new Set<Entry>();
  readonly #offChange: () => void;
  #cancelDeadline: (() => void) | undefined;
  #cancelRecheck: (() => void) | undefined;
  #closed = false;
  #saidMalformed = false;

  constructor(parts: NamerParts) {
    this.#parts = parts;
    this.#offChange = parts.directory.onChange((change) => this.reconsider(change));
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  table(source: PairSource): SlotTable {
    let table = this.#tables.get(source);
    if (!table) {
      table = new SlotTable(source, this.#parts.directory.pool);
      this.#tables.set(source, table);
    }
    return table;
  }

  /** Registers a slot that has no labels yet. Call for all slots of a batch, then `settle` once, then ask the table. */
  meet(table: SlotTable, slot: number, generation: number): void {
    if (table.entry(slot, generation)) return;
    const pair = table.source.pair(slot, generation);
    if (!pair) return;
    const { seconds, nanos } = table.source.wallClock(pair.createdNs);
    const entry: Entry = {
      source: table.source,
      pair,
      createdMs: fromWall(this.#parts.clock, seconds * 1000 + nanos / 1e6),
      peers: undefined,
      deadlineMs: undefined,
      joined: false,
      backendVaries: false,
      renewed: false,
      heldByUse: NO_WORKLOADS,
      place: undefined,
    };
    const old = table.put(entry);
    if (old) this.#forget(old);
    this.#parts.index.add(entry);
    if (!this.#recall(table, entry)) this.#met.push(entry);
    // The other view of the same connections may have waited for this one, or have another answer because of it.
    for (const other of this.#parts.index.mirrors(entry)) this.#dirty.add(other);
  }

  /** Labels what can be labelled among the slots just met and those they concern; the others wait. */
  settle(): void {
    const labelled: Entry[] = [];
    for (const entry of this.#met.splice(0)) {
      const wasLabelled = this.#tryLabel(entry);
      if (!wasLabelled) this.#wait(entry);
    }
    this.#recheck(labelled, RECHECKS_A_TURN);
    if (labelled.length > 0) this.#parts.onLabelled(labelled);
  }

  /** The labels of a slot whose generation has passed before it was met: nobody, seen from that end. */
  nobody(role: Role): Peers {
    return role === 'source' ? NOBODY_SOURCE : NOBODY_DESTINATION;
  }

  /** Labels that an earlier agent remembered; undefined if they cannot be read, which is said once. */
  readLabels(text: string): Peers | undefined {
    const peers = parseLabels(text, this.#parts.directory.pool);
    if (!peers && !this.#saidMalformed) {
      this.#saidMalformed = true;
      this.#parts.logger.warn(`cannot read labels remembered by an earlier agent, its slot is named anew: ${text}`);
    }
    return peers;
  }

  /** Asks again about those that wait in these network namespaces. */
  reconsiderNamespaces(namespaces: ReadonlySet<number>): void {
    for (const entry of this.#parts.index.inNamespaces(namespaces)) this.#touch(entry);
  }

  /** Ends the waiting of these entries: they are labelled by what is known. */
  giveUp(entries: Iterable<Entry>, result: LookupResult = 'given_up'): void {
    const labelled = [...entries].filter((entry) => entry.peers === undefined);
    for (const entry of labelled) this.#label(entry, this.#forced(entry), result);
    if (labelled.length > 0) this.#parts.onLabelled(labelled);
  }

  /** Asks again about whoever this concerns. */
  reconsider(change: DirectoryChange): void {
    for (const entry of change.synced ? this.#parts.index.all() : this.#parts.index.concernedBy(change)) {
      this.#touch(entry);
    }
  }

  /** Labels all that wait. What is met afterwards no longer waits. */
  close(): void {
    this.#closed = true;
    this.#offChange();
    this.#cancelDeadline?.();
    this.#cancelRecheck?.();
    this.giveUp(this.#waiting);
  }

  /** An earlier agent's labels, if it left some: they are this slot's for good. */
  #recall(table: SlotTable, entry: Entry): boolean {
    const text = entry.source.recall(entry.pair.slot, entry.pair.generation);
    if (text === undefined) return false;
    const peers = this.readLabels(text);
    if (peers?.reporter !== entry.pair.role) return false;
    const ends = [peers.source, peers.destination].filter((end) => end !== undefined);
    table.label(entry, peers, ends);
    this.#parts.lookups.recalled.add(2);
    // The directory may say otherwise today: then new connections get a slot of their own.
    this.#touch(entry);
    return true;
  }

  #tryLabel(entry: Entry): boolean {
    const resolution = this.#parts.resolver.resolve(entry, { atMs: entry.createdMs, force: false });
    entry.backendVaries = resolution.backendVaries;
    const settled = isSettled(resolution.local) && isSettled(resolution.remote);
    if (settled) this.#label(entry, resolution, 'unknown');
    return settled;
  }

  #forced(entry: Entry): Resolution {
    return this.#parts.resolver.resolve(entry, { atMs: entry.createdMs, force: true });
  }

  #label(entry: Entry, resolution: Resolution, unknownAs: LookupResult): void {
    this.#waiting.delete(entry);
    entry.deadlineMs = undefined;
    entry.joined = resolution.joined;
    entry.backendVaries = resolution.backendVaries;
    this.table(entry.source).label(entry, resolution.peers, resolution.heldByUse);
    const { lookups } = this.#parts;
    const { peers } = resolution;
    lookups[peers.source ? 'known' : unknownAs].add(1);
    lookups[peers.destination ? 'known' : unknownAs].add(1);
    entry.source.remember(entry.pair.slot, entry.pair.generation, peers, formatLabels);
  }

  #wait(entry: Entry): void {
    if (this.#closed || this.#waiting.size >= MAX_WAITING) {
      this.#label(entry, this.#forced(entry), 'given_up');
      return;
    }
    entry.deadlineMs = this.#parts.clock.now() + this.#parts.resolveTimeoutMs;
    this.#waiting.add(entry);
    this.#planDeadline();
  }

  #planDeadline(): void {
    const [first] = this.#waiting;
    if (this.#cancelDeadline || !first) return;
    this.#cancelDeadline = this.#parts.clock.schedule(first.deadlineMs! - this.#parts.clock.now(), () => {
      this.#cancelDeadline = undefined;
      const due: Entry[] = [];
      for (const entry of this.#waiting) {
        if (entry.deadlineMs! > this.#parts.clock.now()) break;
        due.push(entry);
      }
      this.giveUp(due, 'timeout');
      this.#planDeadline();
    });
  }

  /** Has it asked again, soon. */
  #touch(entry: Entry): void {
    if (entry.renewed) return;
    this.#dirty.add(entry);
    this.#planRecheck();
  }

  #planRecheck(): void {
    if (this.#cancelRecheck || this.#closed || this.#dirty.size === 0) return;
    this.#cancelRecheck = this.#parts.clock.schedule(0, () => {
      this.#cancelRecheck = undefined;
      const labelled: Entry[] = [];
      this.#recheck(labelled, RECHECKS_A_TURN);
      if (labelled.length > 0) this.#parts.onLabelled(labelled);
    });
  }

  /** Asks again about at most `limit` of what changed; adds to `labelled` what has got its labels by that. */
  #recheck(labelled: Entry[], limit: number): void {
    let left = limit;
    for (const entry of this.#dirty) {
      if (left-- === 0) break;
      this.#dirty.delete(entry);
      if (entry.renewed) continue;
      if (entry.peers === undefined) {
        if (this.#tryLabel(entry)) {
          labelled.push(entry);
          // Now that this view has its local end, the other one may have its remote end.
          for (const other of this.#parts.index.mirrors(entry)) if (!other.peers) this.#dirty.add(other);
        }
      } else this.#compare(entry, entry.peers);
    }
    this.#planRecheck();
  }

  /** Labels stay as they are; a changed answer is for connections yet to come. */
  #compare(entry: Entry, labels: Peers): void {
    const { peers, local, remote, backendVaries } = this.#parts.resolver.resolve(entry, {
      atMs: undefined,
      force: false,
    });
    if (local === 'unsure' || remote === 'unsure') return;
    const same =
      peers.source === labels.source &&
      peers.destination === labels.destination &&
      peers.securityPolicy === labels.securityPolicy &&
      sameService(peers.service, labels.service);
    if (same) {
      // Pods may have come and gone behind a service without another name for it, and recalled labels do not say.
      entry.backendVaries = backendVaries;
      return;
    }
    this.#renew(entry);
    const before = localEnd(labels);
    if (localEnd(peers) === before) return;
    // The other view has its remote end from here, or would have it from these labels now that the directory has
    // nobody there: both go on under the new name from the same connection.
    for (const other of this.#parts.index.mirrors(entry)) {
      const same = other.peers && before && remoteEnd(other.peers) === before;
      if ((other.joined || same) && !other.renewed) this.#renew(other);
    }
  }

  #renew(entry: Entry): void {
    entry.renewed = true;
    entry.source.renew(entry.pair.slot, entry.pair.generation);
  }

  /** The slot has a new generation: nothing is asked about the old one any more, though it may still wait. */
  #forget(entry: Entry): void {
    this.#parts.index.delete(entry);
    if (this.#dirty.size > 0) this.#dirty.delete(entry);
    entry.renewed = true;
  }
}

const NO_WORKLOADS: readonly Workload[] = [];

const isSettled = (end: Certainty): boolean => end === 'known' || end === 'never';

const nobody = (reporter: Role): Peers => ({
  reporter,
  source: undefined,
  destination: undefined,
  service: undefined,
  securityPolicy: 'unknown',
});
const NOBODY_SOURCE = nobody('source');
const NOBODY_DESTINATION = nobody('destination');

function sameService(a: Service | undefined, b: Service | undefined): boolean {
  return a?.hostname === b?.hostname && a?.name === b?.name && a?.namespace === b?.namespace;
}
