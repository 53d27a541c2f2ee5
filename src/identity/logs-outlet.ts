/** The logs side of one pipeline: puts names to records, and holds those of slots that wait, in order within a slot. */
import type { Consumer } from '../collector/component.ts';
import type { ConnectionRecord, RecordBatch } from '../receiver/types.ts';
import type { Clock } from './clock.ts';
import { type Backends, CONFIRM_MS, type Finding, isToBeFound } from './conntrack/backends.ts';
import type { Entry } from './entry.ts';
import type { Namer } from './namer.ts';
import type { SlotTable } from './slot-table.ts';
import type { IdentifiedRecords, Peers } from './types.ts';

/**
 * Records that one pipeline holds at most (about 0.5 KiB each). Beyond, the slot of the next one to hold is labelled by
 * what is known, and all its records go on.
 */
export const MAX_HELD_RECORDS = 16_384;

interface Held {
  readonly entry: Entry;
  readonly record: ConnectionRecord;
  readonly finding: Finding | undefined;
}

/** By record of a batch; undefined: nothing was asked. */
type Findings = ReadonlyMap<ConnectionRecord, Finding> | undefined;

export class LogsOutlet implements Consumer<RecordBatch> {
  /** May be replaced when pipelines are built anew. */
  next: Consumer<IdentifiedRecords>;
  readonly #namer: Namer;
  /** undefined: nobody is asked for single connections' backends. */
  readonly #backends: Backends | undefined;
  readonly #clock: Clock;
  readonly #held = new Map<Entry, Held[]>();
  #heldCount = 0;
  /** Labelled, and kept back until what was found about them is certain; each with what takes back its timer. */
  readonly #keptBack = new Map<readonly Held[], () => void>();

  constructor(next: Consumer<IdentifiedRecords>, namer: Namer, clock: Clock, backends: Backends | undefined) {
    this.next = next;
    this.#namer = namer;
    this.#clock = clock;
    this.#backends = backends;
  }

  consume(batch: RecordBatch): void {
    const table = this.#namer.table(batch.source);
    let peers: Peers[] = [];
    let unlabelled = 0;
    let varying = 0;
    for (const { slot, generation } of batch.records) {
      const entry = table.entry(slot, generation);
      if (entry?.peers === undefined) {
        unlabelled++;
        this.#namer.meet(table, slot, generation);
      } else {
        peers.push(entry.peers);
        if (entry.backendVaries) varying++;
      }
    }
    let { records } = batch;
    if (unlabelled > 0) this.#namer.settle();
    if (unlabelled + varying > 0) [records, peers] = this.#sort(records, table, this.#ask(batch, table));
    if (records.length > 0) this.next.consume({ records, peers, source: batch.source });
  }

  /** Hands on what was held for these slots. */
  release(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const held = this.#held.get(entry);
      if (!held) continue;
      this.#held.delete(entry);
      this.#heldCount -= held.length;
      this.#passWhenCertain(held);
    }
  }

  /** Hands on what is kept back. What comes afterwards may be kept back again. */
  flush(): void {
    for (const [held, cancel] of this.#keptBack) {
      cancel();
      this.#pass(held);
    }
    this.#keptBack.clear();
  }

  /** For the backends that pairs do not tell. */
  #ask({ records, source }: RecordBatch, table: SlotTable): Findings {
    if (!this.#backends) return undefined;
    const asked: ConnectionRecord[] = [];
    for (const record of records) {
      const entry = table.entry(record.slot, record.generation);
      if (entry && isToBeFound(entry, record)) asked.push(record);
    }
    if (asked.length === 0) return undefined;
    const findings = this.#backends.find(asked, source);
    return new Map(asked.map((record, at) => [record, findings[at]!]));
  }

  /** What goes on at once. */
  #sort(batch: readonly ConnectionRecord[], table: SlotTable, findings: Findings): [ConnectionRecord[], Peers[]] {
    const records: ConnectionRecord[] = [];
    const peers: Peers[] = [];
    const later: Held[] = [];
    for (const record of batch) {
      const entry = table.entry(record.slot, record.generation);
      const finding = findings?.get(record);
      if (entry && !entry.peers && this.#heldCount >= MAX_HELD_RECORDS) this.#namer.giveUp([entry]);
      if (entry && (!entry.peers || finding)) {
        // A copy: the receiver may reuse what it hands out.
        const held = { entry, record: { ...record }, finding };
        if (entry.peers) later.push(held);
        else this.#hold(held);
        continue;
      }
      records.push(record);
      // Without an entry the receiver no longer knows the pair: its slot has been reused.
      peers.push(entry?.peers ?? this.#namer.nobody(record.role));
    }
    if (later.length > 0) this.#passWhenCertain(later);
    return [records, peers];
  }

  #hold(held: Held): void {
    const records = this.#held.get(held.entry);
    if (records) records.push(held);
    else this.#held.set(held.entry, [held]);
    this.#heldCount++;
  }

  /** At once, unless a backend was found, which may be another connection's, or earlier ones are kept back. */
  #passWhenCertain(held: readonly Held[]): void {
    const uncertain = held.some(({ entry, finding }) => entry.backendVaries && finding?.result === 'translated');
    if (!uncertain && this.#keptBack.size === 0) {
      this.#pass(held);
      return;
    }
    const cancel = this.#clock.schedule(CONFIRM_MS, () => {
      this.#keptBack.delete(held);
      this.#pass(held);
    });
    this.#keptBack.set(held, cancel);
  }

  /** All of one receiver. */
  #pass(held: readonly Held[]): void {
    const records = held.map(({ record }) => record);
    const peers = held.map(({ entry, record, finding }) =>
      finding && this.#backends ? this.#backends.name(entry, record, finding) : entry.peers!,
    );
    this.next.consume({ records, peers, source: held[0]!.entry.source });
  }
}
