/**
 * What the entries of the slots' journal add up to: who holds which slot, and what generations that have passed had
 * counted. Entries are applied in the order in which they were written.
 */
import { PAIR_STRIDE } from '../semconv/pair-fields.ts';

/** Totals as [column of a batch, value] of what is not 0. */
type Sparse = readonly (readonly [number, number])[];

interface LabelsEntry {
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
  /** Wall-clock milliseconds. */
  readonly atMs: number;
}

/** Generations long past, summed by labels when the journal was compacted. */
interface TotalsEntry {
  readonly kind: 'totals';
  /** Absent: of all labels that are forgotten. */
  readonly labels?: string;
  readonly totals: Sparse;
  /** Of the last recycling in it. */
  readonly atMs: number;
}

export type Entry = LabelsEntry | RecycledEntry | TotalsEntry;

/** What a batch calls restored: totals by labels. */
export interface LabelledTotals {
  /** undefined: of all labels that are forgotten. */
  readonly labels: string | undefined;
  readonly values: Float64Array;
}

interface Sum {
  readonly values: Float64Array;
  atMs: number;
}

type IsCurrent = (slot: number, generation: number) => boolean;

export class SlotHistory {
  readonly #labels = new Map<number, LabelsEntry>();
  /** The last recycling of each slot; those before it are in the sums. */
  readonly #recycled = new Map<number, RecycledEntry>();
  readonly #sums = new Map<string | undefined, Sum>();

  apply(entry: Entry): void {
    if (entry.kind === 'labels') this.#labels.set(entry.slot, entry);
    else if (entry.kind === 'totals') addTo(this.#sums, entry);
    else {
      const before = this.#recycled.get(entry.slot);
      if (before && before.generation !== entry.generation) addTo(this.#sums, before);
      this.#recycled.set(entry.slot, entry);
    }
  }

  /**
   * Sums what no later entry can replace, and forgets labels that no slot has now and under which nothing was recycled
   * since `sinceMs`: workloads come and go, and what is remembered of them must not grow for ever. What they have counted
   * goes into one sum without labels.
   */
  condense(isCurrent: IsCurrent, sinceMs: number): void {
    const held = new Set<string | undefined>([undefined]);
    for (const [slot, { generation, labels }] of this.#labels) {
      if (isCurrent(slot, generation)) held.add(labels);
      else this.#labels.delete(slot);
    }
    for (const [slot, entry] of this.#recycled) {
      if (isCurrent(slot, entry.generation)) continue;
      this.#recycled.delete(slot);
      addTo(this.#sums, entry);
    }
    for (const [labels, { values, atMs }] of this.#sums) {
      if (held.has(labels) || atMs > sinceMs) continue;
      this.#sums.delete(labels);
      addTo(this.#sums, { totals: sparse(values), atMs });
    }
  }

  /** Everything that was recycled, by labels. */
  totals(): LabelledTotals[] {
    const sums = new Map(
      [...this.#sums].map(([labels, { values, atMs }]) => [labels, { values: values.slice(), atMs }]),
    );
    for (const entry of this.#recycled.values()) addTo(sums, entry);
    return [...sums].map(([labels, { values }]) => ({ labels, values }));
  }

  /** What `totals` holds of generations that have not passed: their agent ended between writing and zeroing. */
  told(isCurrent: IsCurrent): { slot: number; totals: Float64Array }[] {
    return [...this.#recycled.values()]
      .filter(({ slot, generation }) => isCurrent(slot, generation))
      .map(({ slot, totals }) => ({ slot, totals: dense(totals) }));
  }

  /** The shortest list of entries that says the same, once condensed. A recycling that a later one may replace stays as it is. */
  entries(): Entry[] {
    const totals = [...this.#sums].map(
      ([labels, { values, atMs }]): Entry => ({
        kind: 'totals',
        ...(labels !== undefined && { labels }),
        totals: sparse(values),
        atMs,
      }),
    );
    return [...totals, ...this.#recycled.values(), ...this.#labels.values()];
  }
}

function addTo(sums: Map<string | undefined, Sum>, { labels, totals, atMs }: Omit<TotalsEntry, 'kind'>): void {
  let sum = sums.get(labels);
  if (!sum) {
    sum = { values: new Float64Array(PAIR_STRIDE), atMs };
    sums.set(labels, sum);
  }
  for (const [column, value] of totals) sum.values[column]! += value;
  sum.atMs = Math.max(sum.atMs, atMs);
}

export const sparse = (values: Float64Array): Sparse =>
  Array.from(values, (value, column) => [column, value] as const).filter(([, value]) => value !== 0);

function dense(totals: Sparse): Float64Array {
  const values = new Float64Array(PAIR_STRIDE);
  for (const [column, value] of totals) values[column] = value;
  return values;
}
