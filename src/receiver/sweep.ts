/**
 * Reading the mapped slots: what each has counted since it was last read. No system call, no copy of what has not
 * changed. A slot whose `changes` is what it was is skipped; one that is being written while it is read is read again
 * by the next sweep, since `changes` is raised behind the counters.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  CONNECT_ERRORS,
  counterColumn,
  HISTOGRAM_BUCKETS,
  PAIR_COUNTERS,
  PAIR_HISTOGRAMS,
  PAIR_STRIDE,
} from '../semconv/pair-fields.ts';
import type { Layout } from './btf.ts';
import type { Kernel } from './kernel.ts';
import { SLOTS_PER_CHUNK } from './slot-memory.ts';

/** Rows of a batch; the sweep hands it on when it is full. */
const BATCH_ROWS = 1024;
const TWO_32 = 2 ** 32;

const OPENED = counterColumn('opened');
const CLOSED = counterColumn('closed');
const FAILED = counterColumn('failed');
const ADOPTED = counterColumn('adopted');
const ACTIVE = counterColumn('active');

export interface SweptRows {
  count: number;
  readonly slot: Uint32Array;
  readonly generation: Uint32Array;
  readonly values: Float64Array;
}

export interface Sweep {
  /**
   * Gives the rows that have changed to `take`, in batches that it must not keep. `all`: looks behind `changes` too
   * (at the end, and now and then: on a machine with weakly ordered memory a counter may be seen later than `changes`).
   */
  run(take: (rows: SweptRows) => void, all?: boolean): Promise<void>;
  /** The same of one slot, at once. False if it has not changed. */
  one(slot: number, take: (rows: SweptRows) => void): boolean;
  /** These totals of a slot have been told before: only what it counts beyond them is news. */
  told(slot: number, totals: Float64Array): void;
  /** What the slot has counted in all, in the order of the batch's columns. */
  totals(slot: number): Float64Array;
  /** The slot was zeroed: so is what was read of it. */
  forget(slot: number): void;
  /** Whether anything has been written since the last reading. */
  changed(slot: number): boolean;
  /** Established connections as read. */
  active(slot: number): number;
  /** [first, end) of the slots that may be in use, twice: the pairs' part and the coarse part. */
  ranges(): readonly (readonly [number, number])[];
}

export function createSweep(kernel: Kernel): Sweep {
  const { slot: layout, state } = kernel.layouts;
  const { slots } = kernel;
  const stateWords = new Uint32Array(kernel.state);
  const stride = slots.wordsPerSlot;
  const changesAt = layout.offset('changes') >>> 2;
  const generationAt = layout.offset('generation') >>> 2;
  const nextSlotAt = state.offset('next_slot') >>> 2;
  const nextCoarseAt = state.offset('next_coarse') >>> 2;
  const columns = columnsOf(layout);

  const changes = new Uint32Array(kernel.slotCount);
  const read = new Float64Array(kernel.slotCount * PAIR_STRIDE);
  const rows: SweptRows = {
    count: 0,
    slot: new Uint32Array(BATCH_ROWS),
    generation: new Uint32Array(BATCH_ROWS),
    values: new Float64Array(BATCH_ROWS * PAIR_STRIDE),
  };

  /** Appends the slot's differences to `rows`. */
  const take = (slot: number, words: Uint32Array): boolean => {
    const base = (slot % SLOTS_PER_CHUNK) * stride;
    /* before the counters: what is written while they are read changes it again */
    changes[slot] = words[base + changesAt]!;
    const into = rows.count * PAIR_STRIDE;
    const last = slot * PAIR_STRIDE;
    const { values } = rows;
    let any = false;
    for (let c = 0; c < columns.length; c++) {
      if (c === ACTIVE) continue;
      const at = base + columns.words[c]!;
      let value: number;
      if (columns.wide[c] === 1) {
        let high = words[at + 1]!;
        let low = words[at]!;
        while (words[at + 1]! !== high) {
          high = words[at + 1]!;
          low = words[at]!;
        }
        value = high * TWO_32 + low;
      } else {
        value = words[at]!;
      }
      let difference = value - read[last + c]!;
      if (difference !== 0) {
        any = true;
        read[last + c] = value;
        if (columns.wide[c] === 0 && difference < 0) difference += TWO_32;
      }
      values[into + c] = difference;
    }
    if (!any) return false;
    /* negative for a moment when a close was read before the open that another CPU is at */
    values[into + ACTIVE] =
      values[into + OPENED]! + values[into + ADOPTED]! - values[into + FAILED]! - values[into + CLOSED]!;
    rows.slot[rows.count] = slot;
    rows.generation[rows.count] = words[base + generationAt]!;
    rows.count++;
    return true;
  };
  const flush = (consume: (rows: SweptRows) => void) => {
    if (rows.count === 0) return;
    consume(rows);
    rows.count = 0;
  };
  const ranges = () =>
    [
      [0, Math.min(stateWords[nextSlotAt]!, kernel.coarseBase)],
      [kernel.coarseBase, Math.min(stateWords[nextCoarseAt]!, kernel.slotCount)],
    ] as const;

  return {
    async run(consume, all = false) {
      for (const [first, end] of ranges()) {
        /* the event loop gets its turn between chunks */
        for (let from = first, to = 0; from < end; from = to) {
          to = Math.min(end, from - (from % SLOTS_PER_CHUNK) + SLOTS_PER_CHUNK);
          const words = slots.words(from);
          let at = (from % SLOTS_PER_CHUNK) * stride + changesAt;
          for (let slot = from; slot < to; slot++, at += stride) {
            if (!all && words[at] === changes[slot]) continue;
            take(slot, words);
            if (rows.count === BATCH_ROWS) flush(consume);
          }
          flush(consume);
          if (to < end) await nextTurn();
        }
      }
    },
    one(slot, consume) {
      const taken = take(slot, slots.words(slot));
      flush(consume);
      return taken;
    },
    told: (slot, totals) => read.set(totals, slot * PAIR_STRIDE),
    totals: (slot) => read.slice(slot * PAIR_STRIDE, (slot + 1) * PAIR_STRIDE),
    forget(slot) {
      read.fill(0, slot * PAIR_STRIDE, (slot + 1) * PAIR_STRIDE);
      changes[slot] = 0;
    },
    changed: (slot) => slots.words(slot)[(slot % SLOTS_PER_CHUNK) * stride + changesAt] !== changes[slot],
    active(slot) {
      const at = slot * PAIR_STRIDE;
      return read[at + OPENED]! + read[at + ADOPTED]! - read[at + FAILED]! - read[at + CLOSED]!;
    },
    ranges,
  };
}

/** Where each column of a batch is in a slot, in 32-bit words, and whether it is a u64. */
function columnsOf(slot: Layout): { length: number; words: Uint32Array; wide: Uint8Array } {
  const columns: [offset: number, wide: boolean][] = [];
  for (const name of PAIR_COUNTERS) columns.push([slot.offset(name === 'active' ? 'opened' : name), true]);
  const errors = slot.offset('errors');
  CONNECT_ERRORS.forEach((_, i) => {
    columns.push([errors + 4 * i, false]);
  });
  const sums = slot.offset('sums');
  const buckets = slot.offset('buckets');
  PAIR_HISTOGRAMS.forEach((_, h) => {
    for (let bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
      columns.push([buckets + 4 * (h * HISTOGRAM_BUCKETS + bucket), false]);
    }
    columns.push([sums + 8 * h, true]);
  });
  return {
    length: columns.length,
    words: Uint32Array.from(columns, ([offset]) => offset >>> 2),
    wide: Uint8Array.from(columns, ([, wide]) => (wide ? 1 : 0)),
  };
}
