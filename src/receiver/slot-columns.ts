/** Where the columns of a pair batch are in a slot (struct slot of bpf/pair.h), in 32-bit words. */
import {
  CONNECT_ERRORS,
  counterColumn,
  errorColumn,
  HISTOGRAM_BUCKETS,
  histogramColumn,
  PAIR_COUNTERS,
  PAIR_HISTOGRAMS,
} from '../semconv/pair-fields.ts';
import type { Layout } from './btf.ts';

export interface SlotColumns {
  /** u64 fields and u32 fields: first word in the slot and column in the batch, in turns. */
  readonly wide: Uint32Array;
  readonly narrow: Uint32Array;
  /** First word of a counter; not of `active`, which no slot has. */
  counterWord(column: number): number;
}

export function slotColumns(slot: Layout): SlotColumns {
  const wide: number[] = [];
  const narrow: number[] = [];
  const counters = PAIR_COUNTERS.map((name) => (name === 'active' ? -1 : slot.offset(name) >>> 2));
  counters.forEach((word, column) => {
    if (column !== counterColumn('active')) wide.push(word, column);
  });
  const errors = slot.offset('errors') >>> 2;
  CONNECT_ERRORS.forEach((name, i) => {
    narrow.push(errors + i, errorColumn(name));
  });
  const sums = slot.offset('sums') >>> 2;
  const buckets = slot.offset('buckets') >>> 2;
  PAIR_HISTOGRAMS.forEach(({ name }, h) => {
    const column = histogramColumn(name);
    for (let i = 0; i < HISTOGRAM_BUCKETS; i++) narrow.push(buckets + h * HISTOGRAM_BUCKETS + i, column + i);
    wide.push(sums + 2 * h, column + HISTOGRAM_BUCKETS);
  });
  return {
    wide: Uint32Array.from(wide),
    narrow: Uint32Array.from(narrow),
    counterWord: (column) => counters[column]!,
  };
}
