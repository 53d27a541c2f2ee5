/**
 * Reading the mapped slots: what each has counted since it was last read. No system call, no copy of what has not
 * changed. A slot whose `changes` is what it was is skipped; one that is being written while it is read is read again
 * by the next sweep, since `changes` is raised behind the counters.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { counterColumn, PAIR_STRIDE } from '../semconv/pair-fields.ts';
import type { Kernel } from './kernel.ts';
import { slotColumns } from './slot-columns.ts';
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
  const columns = slotColumns(layout);

  const changes = new Uint32Array(kernel.slotCount);
  /** Every slot as it was read last, word for word: most words of a slot that has changed have not. */
  const read = new Uint32Array(kernel.slotCount * stride);
  const rows: SweptRows = {
    count: 0,
    slot: new Uint32Array(BATCH_ROWS),
    generation: new Uint32Array(BATCH_ROWS),
    values: new Float64Array(BATCH_ROWS * PAIR_STRIDE),
  };

  /** Appends the slot's differences to `rows`. */
  const take = (slot: number, words: Uint32Array): boolean => {
    const base = (slot % SLOTS_PER_CHUNK) * stride;
    const last = slot * stride;
    const into = rows.count * PAIR_STRIDE;
    const { values } = rows;
    const { wide, narrow } = columns;
    let any = false;
    /* before the counters: what is written while they are read changes it again */
    changes[slot] = words[base + changesAt]!;
    values.fill(0, into, into + PAIR_STRIDE);
    for (let i = 0; i < wide.length; i += 2) {
      const word = wide[i]!;
      let high = words[base + word + 1]!;
      let low = words[base + word]!;
      if (low === read[last + word] && high === read[last + word + 1]) continue;
      while (words[base + word + 1]! !== high) {
        high = words[base + word + 1]!;
        low = words[base + word]!;
      }
      values[into + wide[i + 1]!] = (high - read[last + word + 1]!) * TWO_32 + (low - read[last + word]!);
      read[last + word] = low;
      read[last + word + 1] = high;
      any = true;
    }
    for (let i = 0; i < narrow.length; i += 2) {
      const word = narrow[i]!;
      const value = words[base + word]!;
      if (value === read[last + word]) continue;
      values[into + narrow[i + 1]!] = (value - read[last + word]!) >>> 0;
      read[last + word] = value;
      any = true;
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
  const lastTotals = (slot: number): Float64Array => {
    const totals = new Float64Array(PAIR_STRIDE);
    const last = slot * stride;
    const { wide, narrow } = columns;
    for (let i = 0; i < wide.length; i += 2) {
      totals[wide[i + 1]!] = read[last + wide[i]! + 1]! * TWO_32 + read[last + wide[i]!]!;
    }
    for (let i = 0; i < narrow.length; i += 2) totals[narrow[i + 1]!] = read[last + narrow[i]!]!;
    return totals;
  };
  const lastCounter = (slot: number, column: number): number => {
    const word = slot * stride + columns.counterWord(column);
    return read[word + 1]! * TWO_32 + read[word]!;
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
    told(slot, totals) {
      const last = slot * stride;
      const { wide, narrow } = columns;
      for (let i = 0; i < wide.length; i += 2) {
        const value = totals[wide[i + 1]!]!;
        read[last + wide[i]!] = value % TWO_32;
        read[last + wide[i]! + 1] = Math.floor(value / TWO_32);
      }
      for (let i = 0; i < narrow.length; i += 2) read[last + narrow[i]!] = totals[narrow[i + 1]!]!;
    },
    totals: lastTotals,
    forget(slot) {
      read.fill(0, slot * stride, (slot + 1) * stride);
      changes[slot] = 0;
    },
    changed: (slot) => slots.words(slot)[(slot % SLOTS_PER_CHUNK) * stride + changesAt] !== changes[slot],
    active: (slot) =>
      lastCounter(slot, OPENED) + lastCounter(slot, ADOPTED) - lastCounter(slot, FAILED) - lastCounter(slot, CLOSED),
    ranges,
  };
}
