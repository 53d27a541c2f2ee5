/**
 * Batches that survive the agent: a journal of what was accepted, with a mark for each that is done with. A batch whose
 * mark has not reached the disk is sent again after a crash (at least once; log records are told apart by
 * tcpledger.connection.id).
 *
 * Records: kind (1 byte), id (8 bytes, little-endian double), and of a batch: items (4 bytes), body.
 */
import type { Journal } from '../../collector/storage.ts';
import type { Batch } from './batch.ts';

const KIND_BATCH = 1;
const KIND_DONE = 2;
const MARK_SIZE = 9;
const BATCH_HEADER = 13;

/** Marks wait this long for a batch to be written with, since each write is a disk flush of its own. */
const MARK_DELAY_MS = 1000;

/** The journal is rewritten when it is larger than this and most of it is done with; after a failure, when it is larger by this. */
const COMPACT_BYTES = 4 * 1024 * 1024;

export interface StoredBatch extends Batch {
  /** undefined: storage did not take it. */
  readonly id: number | undefined;
}

export interface JournalEvents {
  /** Batches were refused: they are in memory alone. */
  unstored(error: Error): void;
  /** The marks of so many batches were refused: they are written as soon as writing works. */
  unmarked(batches: number, error: Error): void;
  /** A write of batches or marks worked, and with it all that waited. */
  stored(): void;
  /** The journal could not be rewritten: it goes on with what is done with in it. */
  uncompacted(error: Error): void;
  compacted(): void;
}

interface Waiting {
  readonly record: Buffer;
  readonly id: number;
  /** Called when it is written (true) or refused. */
  readonly settle: (written: boolean) => void;
}

export class BatchJournal {
  readonly #journal: Journal;
  readonly #events: JournalEvents;
  /** Written and not done with, by id. */
  readonly #live = new Map<number, Buffer>();
  /** Done with, and not marked so on disk yet: no more than there are batches on disk. */
  readonly #unmarked = new Set<number>();
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #markTimer: NodeJS.Timeout | undefined;
  #nextId = 1;
  #bytes = 0;
  #liveBytes = 0;
  #compactAt = COMPACT_BYTES;

  private constructor(journal: Journal, events: JournalEvents) {
    this.#journal = journal;
    this.#events = events;
  }

  /** Reads what an earlier run left. Rejects with TCPL_E_STORAGE. */
  static async open(journal: Journal, events: JournalEvents): Promise<{ store: BatchJournal; batches: StoredBatch[] }> {
    const store = new BatchJournal(journal, events);
    for (const record of await journal.read()) store.#replay(record);
    const batches = [...store.#live].map(([id, record]) => batchOf(id, record));
    return { store, batches };
  }

  /** Resolves when the batch is on disk, or (with `id` undefined) when storage has refused it. Never rejects. */
  append(batch: Batch): Promise<StoredBatch> {
    const id = this.#nextId++;
    const record = Buffer.allocUnsafeSlow(BATCH_HEADER + batch.body.length);
    record.writeUInt8(KIND_BATCH, 0);
    record.writeDoubleLE(id, 1);
    record.writeUInt32LE(batch.items, MARK_SIZE);
    batch.body.copy(record, BATCH_HEADER);
    return new Promise((resolve) => {
      const settle = (written: boolean) => resolve(batchOf(written ? id : undefined, record));
      this.#waiting.push({ record, id, settle });
      this.#write();
    });
  }

  /** The batch needs to be kept no longer. Reaches the disk with the next write, or a second later. */
  done(id: number): void {
    const live = this.#live.get(id);
    if (live === undefined) return;
    this.#live.delete(id);
    this.#liveBytes -= live.length;
    this.#unmarked.add(id);
    this.#planMarks();
  }

  /** Batches that are done with and that the next start would find and send again. */
  get unmarked(): number {
    return this.#unmarked.size;
  }

  /** Leaves only what is not done with; where that cannot be written, marks what is. */
  async close(): Promise<void> {
    await this.#writing;
    clearTimeout(this.#markTimer);
    if (!(await this.#compact())) await this.#writeWaiting();
    await this.#journal.close();
  }

  #replay(record: Buffer): void {
    const id = record.readDoubleLE(1);
    this.#bytes += record.length;
    this.#nextId = Math.max(this.#nextId, id + 1);
    if (record[0] === KIND_BATCH) {
      this.#live.set(id, record);
      this.#liveBytes += record.length;
    } else if (this.#live.has(id)) {
      this.#liveBytes -= this.#live.get(id)!.length;
      this.#live.delete(id);
    }
  }

  #planMarks(): void {
    this.#markTimer ??= setTimeout(() => this.#write(), MARK_DELAY_MS);
  }

  /** One write at a time. */
  #write(): void {
    clearTimeout(this.#markTimer);
    this.#markTimer = undefined;
    this.#writing ??= this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    do await this.#writeWaiting();
    while (this.#waiting.length > 0);
    // Here and not behind the promise: what is appended between the two must find no write under way.
    this.#writing = undefined;
    if (this.#unmarked.size > 0) this.#planMarks();
  }

  /** Writes everything that waits, in one go. What is refused: batches are not tried again, marks are. */
  async #writeWaiting(): Promise<void> {
    const batches = this.#waiting;
    const done = [...this.#unmarked];
    if (batches.length + done.length === 0) return;
    this.#waiting = [];
    try {
      await this.#journal.append([...batches.map(({ record }) => record), ...done.map(markOf)]);
    } catch (error) {
      if (batches.length > 0) this.#events.unstored(error as Error);
      if (done.length > 0) this.#events.unmarked(done.length, error as Error);
      for (const { settle } of batches) settle(false);
      return;
    }
    this.#events.stored();
    for (const { record, id, settle } of batches) {
      this.#bytes += record.length;
      this.#live.set(id, record);
      this.#liveBytes += record.length;
      settle(true);
    }
    for (const id of done) this.#unmarked.delete(id);
    this.#bytes += done.length * MARK_SIZE;
    if (this.#bytes > this.#compactAt && this.#liveBytes < this.#bytes / 2) await this.#compact();
  }

  /** Whether it worked: what is done with by now needs no mark then. */
  async #compact(): Promise<boolean> {
    const records = [...this.#live.values()];
    const bytes = this.#liveBytes;
    const done = [...this.#unmarked];
    try {
      await this.#journal.rewrite(records);
    } catch (error) {
      this.#compactAt = this.#bytes + COMPACT_BYTES;
      this.#events.uncompacted(error as Error);
      return false;
    }
    this.#events.compacted();
    this.#bytes = bytes;
    this.#compactAt = COMPACT_BYTES;
    for (const id of done) this.#unmarked.delete(id);
    return true;
  }
}

function markOf(id: number): Buffer {
  const record = Buffer.allocUnsafe(MARK_SIZE);
  record.writeUInt8(KIND_DONE, 0);
  record.writeDoubleLE(id, 1);
  return record;
}

function batchOf(id: number | undefined, record: Buffer): StoredBatch {
  return { id, items: record.readUInt32LE(MARK_SIZE), body: record.subarray(BATCH_HEADER) };
}
