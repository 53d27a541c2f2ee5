/**
 * What the kernel does not know and must outlive the agent: the labels of a slot by (slot, generation), and what a slot
 * had counted when it was recycled. Written when it happens, which is seldom; one JSON record each.
 *
 * Valid only together with the pinned maps: a fresh set of maps starts an empty journal.
 */
import type { Journal } from '../collector/storage.ts';
import { PAIR_STRIDE } from '../semconv/pair-fields.ts';

/** Totals as [column, value] of what is not 0. */
type Sparse = readonly (readonly [number, number])[];

type Entry =
  | { readonly kind: 'labels'; readonly slot: number; readonly generation: number; readonly labels: string }
  /** Of one generation the last one counts: a slot that moved after it was written is written again. */
  | {
      readonly kind: 'recycled';
      readonly slot: number;
      readonly generation: number;
      readonly labels: string;
      readonly totals: Sparse;
    }
  /** Generations long past, summed by labels when the journal was compacted. */
  | { readonly kind: 'totals'; readonly labels: string; readonly totals: Sparse };

export interface Recycled {
  readonly slot: number;
  readonly generation: number;
  readonly totals: Float64Array;
}

export interface SlotJournal {
  remember(slot: number, generation: number, labels: string): void;
  recall(slot: number, generation: number): string | undefined;
  /** Durable when it resolves. */
  recycle(slots: readonly Recycled[]): Promise<void>;
  /** What is remembered but not written yet. */
  flush(): Promise<void>;
  /** Totals of the generations that have passed, by labels. */
  restored(): { labels: string; values: Float64Array }[];
  /** Totals already told for the present generation of a slot, if an earlier agent ended between telling and zeroing. */
  told(slot: number): Float64Array | undefined;
  close(): Promise<void>;
}

/** `generationOf` the slot now, in the maps that were taken over; `fresh`: they are new, nothing before counts. */
export async function openSlotJournal(
  journal: Journal,
  generationOf: (slot: number) => number,
  fresh: boolean,
): Promise<SlotJournal> {
  const labels = new Map<string, string>();
  const recycled = new Map<string, Extract<Entry, { kind: 'recycled' }>>();
  const sums = new Map<string, Float64Array>();
  const sum = (of: string, totals: Sparse) => {
    const values = sums.get(of) ?? new Float64Array(PAIR_STRIDE);
    sums.set(of, values);
    for (const [column, value] of totals) values[column]! += value;
  };
  if (!fresh) {
    for (const record of await journal.read()) {
      const entry = JSON.parse(record.toString()) as Entry;
      if (entry.kind === 'totals') sum(entry.labels, entry.totals);
      else if (entry.kind === 'labels') labels.set(keyOf(entry), entry.labels);
      else recycled.set(keyOf(entry), entry);
    }
  }
  const told = new Map<number, Float64Array>();
  for (const entry of recycled.values()) {
    sum(entry.labels, entry.totals);
    if (generationOf(entry.slot) === entry.generation) told.set(entry.slot, dense(entry.totals));
    labels.delete(keyOf(entry));
  }
  for (const key of labels.keys()) {
    const [slot, generation] = key.split(':').map(Number);
    if (generationOf(slot!) !== generation) labels.delete(key);
  }

  /* a told slot's record must stay as it is, since it may have to be replaced by a later one of its generation */
  const keep: Entry[] = [];
  for (const entry of recycled.values()) {
    if (told.has(entry.slot)) keep.push(entry);
  }
  const settled = new Map([...sums].map(([of, values]) => [of, values.slice()] as const));
  for (const entry of keep) {
    if (entry.kind !== 'recycled') continue;
    for (const [column, value] of entry.totals) settled.get(entry.labels)![column]! -= value;
  }
  for (const [of, values] of settled) keep.push({ kind: 'totals', labels: of, totals: sparse(values) });
  for (const [key, of] of labels) {
    const [slot, generation] = key.split(':').map(Number);
    keep.push({ kind: 'labels', slot: slot!, generation: generation!, labels: of });
  }
  await journal.rewrite(keep.map(encode));

  let pending: Entry[] = [];
  const flush = async () => {
    if (pending.length === 0) return;
    const entries = pending;
    pending = [];
    try {
      await journal.append(entries.map(encode));
    } catch (error) {
      pending = [...entries, ...pending];
      throw error;
    }
  };
  return {
    remember(slot, generation, of) {
      labels.set(keyOf({ slot, generation }), of);
      pending.push({ kind: 'labels', slot, generation, labels: of });
    },
    recall: (slot, generation) => labels.get(keyOf({ slot, generation })),
    async recycle(slots) {
      for (const { slot, generation, totals } of slots) {
        const of = labels.get(keyOf({ slot, generation }));
        /* never named: no pipeline has counted it, so there is no series to restore */
        if (of === undefined) continue;
        pending.push({ kind: 'recycled', slot, generation, labels: of, totals: sparse(totals) });
      }
      await flush();
      for (const slot of slots) labels.delete(keyOf(slot));
    },
    flush,
    restored: () => [...sums].map(([of, values]) => ({ labels: of, values })),
    told: (slot) => told.get(slot),
    async close() {
      await flush();
      await journal.close();
    },
  };
}

const keyOf = ({ slot, generation }: { slot: number; generation: number }) => `${slot}:${generation}`;

const encode = (entry: Entry) => Buffer.from(JSON.stringify(entry));

const sparse = (values: Float64Array): Sparse =>
  Array.from(values, (value, column) => [column, value] as const).filter(([, value]) => value !== 0);

function dense(totals: Sparse): Float64Array {
  const values = new Float64Array(PAIR_STRIDE);
  for (const [column, value] of totals) values[column] = value;
  return values;
}
