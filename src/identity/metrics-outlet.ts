/** The metrics side of one pipeline: puts names to rows, and holds the rows of slots that wait for theirs. */
import type { Consumer } from '../collector/component.ts';
import type { PairBatch, PairSource } from '../receiver/types.ts';
import { counterColumn } from '../semconv/pair-fields.ts';
import type { Entry } from './entry.ts';
import type { Namer } from './namer.ts';
import { RowBuffer } from './row-buffer.ts';
import type { SlotTable } from './slot-table.ts';
import type { IdentifiedPairs, Peers } from './types.ts';

const ACTIVE = counterColumn('active');

/** Rows in one batch of what was held. */
const RELEASE_ROWS = 1_024;

export class MetricsOutlet implements Consumer<PairBatch> {
  /** May be replaced when pipelines are built anew. */
  next: Consumer<IdentifiedPairs>;
  readonly #namer: Namer;
  readonly #seriesTtlMs: number;
  readonly #peers: Peers[] = [];
  readonly #rows = new RowBuffer();
  /** Sums of the rows of slots that wait: one row each, however long it takes. */
  readonly #held = new Map<Entry, Float64Array>();
  #timeNs = 0;
  #stride = 0;

  constructor(next: Consumer<IdentifiedPairs>, namer: Namer, seriesTtlMs: number) {
    this.next = next;
    this.#namer = namer;
    this.#seriesTtlMs = seriesTtlMs;
  }

  consume(batch: PairBatch): void {
    const { count, slot, generation } = batch;
    const table = this.#namer.table(batch.source);
    const peers = this.#peers;
    peers.length = 0;
    this.#timeNs = batch.timeNs;
    this.#stride = batch.stride;
    let unlabelled = 0;
    for (let row = 0; row < count; row++) {
      const labels = table.labelled(slot[row]!, generation[row]!);
      if (labels === undefined) {
        unlabelled++;
        this.#namer.meet(table, slot[row]!, generation[row]!);
      } else peers.push(labels);
    }
    if (unlabelled > 0) this.#namer.settle();
    if (count > 0 && table.claimBatch(batch.timeNs, slot[0]!)) countActive(batch, table);
    const restored = batch.restored && { restored: this.#readRestored(batch.restored) };
    const outcome = unlabelled > 0 ? this.#sort(batch, table) : batch;
    this.next.consume({ batch: outcome, peers, seriesTtlMs: this.#seriesTtlMs, ...restored });
  }

  /** Hands on what was held for these slots. */
  release(entries: readonly Entry[]): void {
    const ready = entries.filter((entry) => this.#held.has(entry));
    for (let from = 0; from < ready.length; ) {
      const { source } = ready[from]!;
      let to = from;
      while (to < ready.length && to - from < RELEASE_ROWS && ready[to]!.source === source) to++;
      this.#emitHeld(ready.slice(from, to), source);
      from = to;
    }
  }

  #emitHeld(entries: readonly Entry[], source: PairSource): void {
    this.#rows.clear(this.#stride);
    for (const entry of entries) {
      this.#rows.push(entry.pair.slot, entry.pair.generation, this.#held.get(entry)!, 0);
      this.#held.delete(entry);
    }
    this.next.consume({
      batch: this.#rows.batch(this.#timeNs, source),
      peers: entries.map((entry) => entry.peers!),
      seriesTtlMs: this.#seriesTtlMs,
    });
  }

  /** Some rows had no labels when the batch came: those that still have none are held, the others go on. */
  #sort(batch: PairBatch, table: SlotTable): PairBatch {
    const { count, slot, generation, values, stride } = batch;
    const peers = this.#peers;
    peers.length = 0;
    for (let row = 0; row < count; row++) {
      const labels = table.labelled(slot[row]!, generation[row]!);
      const entry = labels ? undefined : table.entry(slot[row]!, generation[row]!);
      if (entry) {
        // Only with the first of these the others need a batch of their own.
        if (peers.length === row) this.#copy(batch, row);
        this.#hold(entry, values, row * stride, stride);
        continue;
      }
      if (peers.length < row) this.#rows.push(slot[row]!, generation[row]!, values, row * stride);
      // Without labels and entry the receiver no longer knows the pair. Its counts are still somebody's.
      peers.push(labels ?? this.#namer.nobody('source'));
    }
    return peers.length === count ? batch : this.#rows.batch(batch.timeNs, batch.source);
  }

  /** Begins a batch of our own with the first rows of this one. */
  #copy({ slot, generation, values, stride }: PairBatch, count: number): void {
    this.#rows.clear(stride);
    for (let row = 0; row < count; row++) this.#rows.push(slot[row]!, generation[row]!, values, row * stride);
  }

  #hold(entry: Entry, values: Float64Array, at: number, stride: number): void {
    let sum = this.#held.get(entry);
    if (!sum) {
      sum = new Float64Array(stride);
      this.#held.set(entry, sum);
    }
    for (let field = 0; field < stride; field++) sum[field]! += values[at + field]!;
  }

  #readRestored(rows: NonNullable<PairBatch['restored']>): NonNullable<IdentifiedPairs['restored']> {
    return rows.map(({ labels, values }) => ({
      peers: labels === undefined ? undefined : this.#namer.readLabels(labels),
      values,
    }));
  }
}

function countActive({ count, slot, generation, values, stride }: PairBatch, table: SlotTable): void {
  for (let row = 0, at = ACTIVE; row < count; row++, at += stride) {
    const change = values[at]!;
    if (change !== 0) table.countActive(slot[row]!, generation[row]!, change);
  }
}
