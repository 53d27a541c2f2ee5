/**
 * What the kernel does not know and must outlive the agent: the labels of a slot by (slot, generation), and what a slot
 * had counted when it was recycled. Written when it happens, which is seldom; one JSON record each.
 *
 * Valid only together with one set of maps, which its first record names: for any other set it starts empty.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Journal } from '../collector/storage.ts';
import { type Entry, type LabelledTotals, SlotHistory, sparse } from './slot-history.ts';
import { SlotLabels } from './slot-labels.ts';

/** Raised when entries change their meaning: a journal of another format is not read. */
const FORMAT = 2;
/** Entries beyond those of the last compaction before the next one, about 1 KiB each. */
const COMPACT_AFTER = 16_384;
/** Labels that no slot has are forgotten after this long. Much longer than a series outlives its workload. */
const FORGET_AFTER_MS = 3_600_000;
/** Entries parsed before the event loop gets its turn. */
const SLICE = 1024;

export interface Recycled {
  readonly slot: number;
  readonly generation: number;
  readonly totals: Float64Array;
}

export interface SlotJournal {
  /** `textOf` is asked when they are written: it costs more than all else that happens at a slot's first sight. */
  remember<Labels>(slot: number, generation: number, labels: Labels, textOf: (labels: Labels) => string): void;
  recall(slot: number, generation: number): string | undefined;
  /** Durable when it resolves. Rejects with TCPL_E_STORAGE: then nothing of these slots is written. */
  recycle(slots: readonly Recycled[]): Promise<void>;
  /** Writes what is remembered but not written yet. What cannot be written is kept for the next time. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface OpenedSlotJournal {
  readonly journal: SlotJournal;
  /** What earlier agents recycled, by labels. */
  readonly restored: readonly LabelledTotals[];
  /** What of `restored` slots of the present generation still hold: an earlier agent ended between writing and zeroing. */
  readonly told: readonly { slot: number; totals: Float64Array }[];
}

export interface SlotJournalOptions {
  readonly compactAfter?: number;
  /** Wall-clock milliseconds. */
  readonly now?: () => number;
}

/** `mapsId` names the set of maps (Kernel.mapsId), `generationOf` a slot is that of now. Rejects with TCPL_E_STORAGE. */
export async function openSlotJournal(
  journal: Journal,
  mapsId: string,
  generationOf: (slot: number) => number,
  { compactAfter = COMPACT_AFTER, now = Date.now }: SlotJournalOptions = {},
): Promise<OpenedSlotJournal> {
  const head = JSON.stringify({ format: FORMAT, maps: mapsId });
  const isCurrent = (slot: number, generation: number) => generationOf(slot) === generation;
  const readCondensed = async () => {
    const content = await read(journal, head);
    content.history.condense(isCurrent, now() - FORGET_AFTER_MS);
    return content;
  };
  const { history, entries, foreign } = await readCondensed();
  /** Labels only: what has passed is told once and need not be held in memory. */
  const present = new SlotLabels();
  for (const entry of history.entries()) {
    if (entry.kind === 'labels') present.set(entry.slot, entry.generation, entry.labels, String);
  }
  /** Entries written since the last compaction, and those that it left. */
  let written = entries;
  let kept = 0;
  const compact = async (condensed: SlotHistory) => {
    const shortest = condensed.entries();
    await journal.rewrite([Buffer.from(head), ...shortest.map(encode)]);
    kept = shortest.length;
    written = 0;
  };
  if (foreign || entries > compactAfter) await compact(history);

  /** Slots whose labels are to be written. */
  let pending: number[] = [];
  const append = async (also: readonly Entry[]) => {
    const labels = pending;
    if (labels.length + also.length === 0) return;
    pending = [];
    try {
      await journal.append([...labels.map((slot) => encode(present.entry(slot))), ...also.map(encode)]);
    } catch (error) {
      pending = [...labels, ...pending];
      throw error;
    }
    written += labels.length + also.length;
  };
  const flush = async () => {
    await append([]);
    if (written > Math.max(compactAfter, kept)) await compact((await readCondensed()).history);
  };
  return {
    restored: history.totals(),
    told: history.told(isCurrent),
    journal: {
      remember(slot, generation, labels, textOf) {
        present.set(slot, generation, labels, textOf);
        pending.push(slot);
      },
      recall: (slot, generation) => present.get(slot, generation),
      recycle: (slots) => {
        const atMs = now();
        return append(
          slots.flatMap(({ slot, generation, totals }): Entry[] => {
            const labels = present.get(slot, generation);
            /* never named: no pipeline has counted it, so there is no series to restore */
            if (labels === undefined) return [];
            return [{ kind: 'recycled', slot, generation, labels, totals: sparse(totals), atMs }];
          }),
        );
      },
      flush,
      async close() {
        try {
          await flush();
        } finally {
          await journal.close();
        }
      },
    },
  };
}

/** `foreign`: the journal is empty, of another set of maps, or of another format. */
async function read(
  journal: Journal,
  head: string,
): Promise<{ history: SlotHistory; entries: number; foreign: boolean }> {
  const history = new SlotHistory();
  const [first, ...records] = await journal.read();
  if (first?.toString() !== head) return { history, entries: 0, foreign: true };
  for (const [i, record] of records.entries()) {
    history.apply(JSON.parse(record.toString()) as Entry);
    if (i % SLICE === SLICE - 1) await nextTurn();
  }
  return { history, entries: records.length, foreign: false };
}

const encode = (entry: Entry) => Buffer.from(JSON.stringify(entry));
