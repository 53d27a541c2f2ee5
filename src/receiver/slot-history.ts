/**
 * What the entries of the slots' journal add up to: who holds which slot, and what generations that have passed had
 * counted. Entries are applied in the order in which they were written.
 */
import { PAIR_STRIDE } from '../semconv/pair-fields.ts';

/** Totals as [column of a batch, value] of what is not 0. */
type Sparse = readonly (readonly [number, number])[];

export interface LabelsEntry {
  readonly kind: 'labels';
  readonly slot: number;
  readonly generation: number;
  readonly labels: string;
}

/** Of one generation the last one counts: a slot that moved after it was written is written again. */
interface RecycledEntry {
  readonly kind: 'recycled';
  readonly slot: number;
  readonly generation: number;
  readonly labels: string;
  readonly totals: Sparse;
}

/** Generations long past, summed by labels when the journal was compacted. */
interface TotalsEntry {
  readonly kind: 'totals';
  readonly labels: string;
  readonly totals: Sparse;
}

export type Entry = LabelsEntry | RecycledEntry | TotalsEntry;

/** What a batch calls restored: totals by labels. */
export interface LabelledTotals {
  readonly labels: string;
  readonly values: Float64Array;
}

type IsCurrent = (slot: number, generation: number) => boolean;

export class SlotHistory {
  readonly #labels = new Map<number, LabelsEntry>();
  /** The last recycling of each slot; those before it are in the sums. */
  readonly #recycled = new Map<number, RecycledEntry>();
  readonly #sums = new Map<string, Float64Array>();

  apply(entry: Entry): void {
    if (entry.kind === 'labels') this.#labels.set(entry.slot, entry);
    else if (entry.kind === 'totals') addTo(this.#sums, entry);
    else {
      const before = this.#recycled.get(entry.slot);
      if (before && before.generation !== entry.generation) addTo(this.#sums, before);
      this.#recycled.set(entry.slot, entry);
    }
  }

  /** Everything that was recycled, by labels. */
  totals(): LabelledTotals[] {
    const sums = new Map([...this.#sums].map(([labels, values]) => [labels, values.slice()]));
    for (const entry of this.#recycled.values()) addTo(sums, entry);
    return [...sums].map(([labels, values]) => ({ labels, values }));
  }

  /** What `totals` holds of generations that have not passed: their agent ended between writing and zeroing. */
  told(isCurrent: IsCurrent): { slot: number; totals: Float64Array }[] {
    return [...this.#recycled.values()]
      .filter(({ slot, generation }) => isCurrent(slot, generation))
      .map(({ slot, totals }) => ({ slot, totals: dense(totals) }));
  }

  /** The shortest list of entries that says the same. A recycling that a later one may replace stays as it is. */
  entries(isCurrent: IsCurrent): Entry[] {
    const sums = new Map([...this.#sums].map(([labels, values]) => [labels, values.slice()]));
    const replaceable: Entry[] = [];
    for (const entry of this.#recycled.values()) {
      if (isCurrent(entry.slot, entry.generation)) replaceable.push(entry);
      else addTo(sums, entry);
    }
    const totals = [...sums].map(([labels, values]): Entry => ({ kind: 'totals', labels, totals: sparse(values) }));
    const labels = [...this.#labels.values()].filter(({ slot, generation }) => isCurrent(slot, generation));
    return [...totals, ...replaceable, ...labels];
  }
}

function addTo(sums: Map<string, Float64Array>, { labels, totals }: { labels: string; totals: Sparse }): void {
  let values = sums.get(labels);
  if (!values) {
    values = new Float64Array(PAIR_STRIDE);
    sums.set(labels, values);
  }
  for (const [column, value] of totals) values[column]! += value;
}

export const sparse = (values: Float64Array): Sparse =>
  Array.from(values, (value, column) => [column, value] as const).filter(([, value]) => value !== 0);

function dense(totals: Sparse): Float64Array {
  const values = new Float64Array(PAIR_STRIDE);
  for (const [column, value] of totals) values[column] = value;
  return values;
}
