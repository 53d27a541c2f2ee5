/** The logs side of one pipeline: puts names to records, and holds those of slots that wait, in order within a slot. */
import type { Consumer } from '../collector/component.ts';
import type { ConnectionRecord, RecordBatch } from '../receiver/types.ts';
import type { Entry } from './entry.ts';
import type { Namer } from './namer.ts';
import type { IdentifiedRecords, Peers } from './types.ts';

/**
 * Records that one pipeline holds at most (about 0.5 KiB each). Beyond, the slot of the next one to hold is labelled by
 * what is known, and all its records go on.
 */
export const MAX_HELD_RECORDS = 16_384;

export class LogsOutlet implements Consumer<RecordBatch> {
  /** May be replaced when pipelines are built anew. */
  next: Consumer<IdentifiedRecords>;
  readonly #namer: Namer;
  readonly #held = new Map<Entry, ConnectionRecord[]>();
  #heldCount = 0;

  constructor(next: Consumer<IdentifiedRecords>, namer: Namer) {
    this.next = next;
    this.#namer = namer;
  }

  consume(batch: RecordBatch): void {
    const table = this.#namer.table(batch.source);
    let peers: Peers[] = [];
    let unlabelled = 0;
    for (const { slot, generation } of batch.records) {
      const labels = table.labelled(slot, generation);
      if (labels === undefined) {
        unlabelled++;
        this.#namer.meet(table, slot, generation);
      } else peers.push(labels);
    }
    let { records } = batch;
    if (unlabelled > 0) {
      this.#namer.settle();
      [records, peers] = this.#sort(batch);
    }
    if (records.length > 0) this.next.consume({ records, peers, source: batch.source });
  }

  /** Hands on what was held for these slots. */
  release(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const records = this.#held.get(entry);
      if (!records) continue;
      this.#held.delete(entry);
      this.#heldCount -= records.length;
      const peers = records.map(() => entry.peers!);
      this.next.consume({ records, peers, source: entry.source });
    }
  }

  #sort(batch: RecordBatch): [ConnectionRecord[], Peers[]] {
    const table = this.#namer.table(batch.source);
    const records: ConnectionRecord[] = [];
    const peers: Peers[] = [];
    for (const record of batch.records) {
      const entry = table.entry(record.slot, record.generation);
      if (entry && !entry.peers && this.#heldCount >= MAX_HELD_RECORDS) this.#namer.giveUp([entry]);
      if (entry && !entry.peers) {
        this.#hold(entry, record);
        continue;
      }
      records.push(record);
      // Without an entry the receiver no longer knows the pair: its slot has been reused.
      peers.push(entry?.peers ?? this.#namer.nobody(record.role));
    }
    return [records, peers];
  }

  /** A copy: the receiver may reuse what it hands out. */
  #hold(entry: Entry, record: ConnectionRecord): void {
    const records = this.#held.get(entry);
    if (records) records.push({ ...record });
    else this.#held.set(entry, [{ ...record }]);
    this.#heldCount++;
  }
}
