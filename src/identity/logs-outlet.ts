/** The logs side of one pipeline: puts names to records, and holds those of slots that wait, in order within a slot. */
import type { Consumer } from '../collector/component.ts';
import type { ConnectionRecord, RecordBatch } from '../receiver/types.ts';
import { type Backends, isToBeFound } from './conntrack/backends.ts';
import type { Endpoint } from './conntrack/messages.ts';
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
  readonly record: ConnectionRecord;
  readonly backend: Endpoint | undefined;
}

/** By record of a batch. */
type FoundBackends = ReadonlyMap<ConnectionRecord, Endpoint | undefined>;

export class LogsOutlet implements Consumer<RecordBatch> {
  /** May be replaced when pipelines are built anew. */
  next: Consumer<IdentifiedRecords>;
  readonly #namer: Namer;
  /** undefined: nobody is asked for single connections' backends. */
  readonly #backends: Backends | undefined;
  readonly #held = new Map<Entry, Held[]>();
  #heldCount = 0;

  constructor(next: Consumer<IdentifiedRecords>, namer: Namer, backends: Backends | undefined) {
    this.next = next;
    this.#namer = namer;
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
    if (unlabelled + varying > 0) [records, peers] = this.#sort(records, table, this.#findBackends(records, table));
    if (records.length > 0) this.next.consume({ records, peers, source: batch.source });
  }

  /** Hands on what was held for these slots. */
  release(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const held = this.#held.get(entry);
      if (!held) continue;
      this.#held.delete(entry);
      this.#heldCount -= held.length;
      const records = held.map(({ record }) => record);
      const peers = held.map(({ record, backend }) => this.#name(entry, entry.peers!, record, backend));
      this.next.consume({ records, peers, source: entry.source });
    }
  }

  /** Asks for those that their pair does not tell; undefined if it tells all. */
  #findBackends(records: readonly ConnectionRecord[], table: SlotTable): FoundBackends | undefined {
    if (!this.#backends) return undefined;
    const asked: ConnectionRecord[] = [];
    for (const record of records) {
      const entry = table.entry(record.slot, record.generation);
      if (entry && isToBeFound(entry, record)) asked.push(record);
    }
    if (asked.length === 0) return undefined;
    const backends = this.#backends.find(asked);
    return new Map(asked.map((record, at) => [record, backends[at]]));
  }

  #sort(
    batch: readonly ConnectionRecord[],
    table: SlotTable,
    found: FoundBackends | undefined,
  ): [ConnectionRecord[], Peers[]] {
    const records: ConnectionRecord[] = [];
    const peers: Peers[] = [];
    for (const record of batch) {
      const entry = table.entry(record.slot, record.generation);
      const backend = found?.get(record);
      if (entry && !entry.peers && this.#heldCount >= MAX_HELD_RECORDS) this.#namer.giveUp([entry]);
      if (entry && !entry.peers) {
        this.#hold(entry, record, backend);
        continue;
      }
      records.push(record);
      // Without an entry the receiver no longer knows the pair: its slot has been reused.
      peers.push(entry?.peers ? this.#name(entry, entry.peers, record, backend) : this.#namer.nobody(record.role));
    }
    return [records, peers];
  }

  #name(entry: Entry, peers: Peers, record: ConnectionRecord, backend: Endpoint | undefined): Peers {
    if (!backend || !entry.backendVaries || !this.#backends) return peers;
    return this.#backends.name(peers, record, backend, entry.source);
  }

  /** A copy: the receiver may reuse what it hands out. */
  #hold(entry: Entry, record: ConnectionRecord, backend: Endpoint | undefined): void {
    const held = { record: { ...record }, backend };
    const records = this.#held.get(entry);
    if (records) records.push(held);
    else this.#held.set(entry, [held]);
    this.#heldCount++;
  }
}
