/**
 * Batches that survive the agent: a journal of what was accepted and what is done with. A batch whose "done" has not
 * reached the disk is sent again after a crash (at least once; log records are told apart by tcpledger.connection.id).
 *
 * Records: kind (1 byte), id (8 bytes, little-endian double), and of a batch: items (4 bytes), body.
 */
import type { Journal } from '../../collector/storage.ts';
import type { Batch } from './batch.ts';

const KIND_BATCH = 1;
const KIND_DONE = 2;
const DONE_SIZE = 9;
const BATCH_HEADER = 13;

/** "Done" waits this long for a batch to be written with, since each write is a disk flush of its own. */
const DONE_DELAY_MS = 1000;

/** The journal is rewritten when it is larger than this and most of it is done with. */
const COMPACT_BYTES = 4 * 1024 * 1024;

export interface StoredBatch extends Batch {
  /** undefined: storage did not take it. */
  readonly id: number | undefined;
}

export interface JournalEvents {
  failed(error: Error): void;
  worked(): void;
}

interface Waiting {
  readonly record: Buffer;
  readonly id: number;
  /** Of a batch: called when it is written (true) or refused. */
  readonly settle: ((written: boolean) => void) | undefined;
}

export class BatchJournal {
  readonly #journal: Journal;
  readonly #events: JournalEvents;
  /** Written and not done with, by id. */
  readonly #live = new Map<number, Buffer>();
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #doneTimer: NodeJS.Timeout | undefined;
  #nextId = 1;
  #bytes = 0;
  #liveBytes = 0;

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
    record.writeUInt32LE(batch.items, DONE_SIZE);
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
    const record = Buffer.allocUnsafe(DONE_SIZE);
    record.writeUInt8(KIND_DONE, 0);
    record.writeDoubleLE(id, 1);
    this.#waiting.push({ record, id, settle: undefined });
    this.#doneTimer ??= setTimeout(() => this.#write(), DONE_DELAY_MS);
  }

  /** Writes what waits and leaves only what is not done with. */
  async close(): Promise<void> {
    clearTimeout(this.#doneTimer);
    await this.#writing;
    try {
      await this.#journal.rewrite([...this.#live.values()]);
    } catch (error) {
      this.#events.failed(error as Error);
    }
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

  /** One write at a time, of everything that waits. */
  #write(): void {
    clearTimeout(this.#doneTimer);
    this.#doneTimer = undefined;
    // With nothing to write writeAll would end before its promise is kept here, and the promise would stay.
    if (this.#waiting.length > 0) this.#writing ??= this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      try {
        await this.#journal.append(group.map(({ record }) => record));
        this.#events.worked();
        this.#wrote(group);
        if (this.#bytes > COMPACT_BYTES && this.#liveBytes < this.#bytes / 2) await this.#compact();
      } catch (error) {
        // Batches that were written before a failed compaction are settled: settling them again changes nothing.
        this.#events.failed(error as Error);
        for (const { settle } of group) settle?.(false);
      }
    }
    // Here and not behind the promise: what is appended between the two must find no write under way.
    this.#writing = undefined;
  }

  #wrote(group: readonly Waiting[]): void {
    for (const { record, id, settle } of group) {
      this.#bytes += record.length;
      if (settle === undefined) continue;
      this.#live.set(id, record);
      this.#liveBytes += record.length;
      settle(true);
    }
  }

  async #compact(): Promise<void> {
    const records = [...this.#live.values()];
    const bytes = this.#liveBytes;
    await this.#journal.rewrite(records);
    this.#bytes = bytes;
  }
}

function batchOf(id: number | undefined, record: Buffer): StoredBatch {
  return { id, items: record.readUInt32LE(DONE_SIZE), body: record.subarray(BATCH_HEADER) };
}
