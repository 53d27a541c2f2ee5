/**
 * Batches of one signal on their way to one peer: bounded, a few in flight at once, each tried again by
 * `retry_on_failure`. With storage a batch is on disk before it is sent, and leaves it when it is done with.
 *
 * Nothing is lost in silence: whatever happens to a batch is counted through the report.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff, type RetryConfig } from './backoff.ts';
import type { Batch } from './batch.ts';
import type { BatchJournal, StoredBatch } from './batch-journal.ts';
import type { DeliveryReport } from './delivery-report.ts';
import type { PartialSuccess } from './partial-success.ts';
import type { Pack, Sender } from './sender.ts';

/** Beyond it the queue is full however few batches wait: an agent must not take its node's memory with it. */
const MAX_WAITING_BYTES = 128 * 1024 * 1024;

export interface SendingQueueOptions {
  readonly pack: Pack;
  readonly sender: Sender;
  readonly report: DeliveryReport;
  readonly retry: RetryConfig;
  /** Batches that may wait, beside those in flight. */
  readonly capacity: number;
  /** Batches in flight or waiting for their next attempt at once. */
  readonly concurrency: number;
  /** Reads the peer's answer. */
  readonly partialSuccess: (response: Uint8Array) => Promise<PartialSuccess>;
}

/** `ready` is the batch itself, or resolves to it when storage has it. */
interface Entry {
  readonly items: number;
  readonly bytes: number;
  readonly ready: StoredBatch | Promise<StoredBatch>;
}

export class SendingQueue {
  readonly #options: SendingQueueOptions;
  readonly #waiting: Entry[] = [];
  #waitingBytes = 0;
  #inFlight = 0;
  #store: BatchJournal | undefined;
  #started = false;
  /** From here on: one attempt for each batch. */
  readonly #stopping = new AbortController();
  /** From here on: none. */
  readonly #stopped = new AbortController();
  /** Batches that had to be left, of those in storage and of the others. */
  #kept = 0;
  #abandoned = 0;
  #idle: (() => void) | undefined;

  constructor(options: SendingQueueOptions) {
    this.#options = options;
  }

  /** Batches held, those in flight too. */
  get size(): number {
    return this.#waiting.length + this.#inFlight;
  }

  /** Begins to send: first what storage holds from an earlier run, then what was offered before the start. */
  start(store?: BatchJournal, recovered: readonly StoredBatch[] = []): void {
    this.#store = store;
    this.#started = true;
    const early = this.#waiting.splice(0);
    this.#waitingBytes = 0;
    if (recovered.length > 0) this.#options.report.recovered(recovered.length);
    for (const batch of recovered) this.#enqueue({ items: batch.items, bytes: batch.body.length, ready: batch });
    for (const entry of early) this.#enqueue(store === undefined ? entry : this.#entry(entry.ready as StoredBatch));
  }

  /** Takes a batch, packed, or drops and counts it when there is no room. */
  offer(batch: Batch): void {
    const { capacity, concurrency, report, pack } = this.#options;
    if (this.#stopped.signal.aborted) {
      report.abandoned(batch.items);
      return;
    }
    const busy = !this.#started || this.#inFlight >= concurrency;
    const full = this.#waiting.length >= capacity || this.#waitingBytes + batch.body.length > MAX_WAITING_BYTES;
    if (busy && full) report.full(batch.items);
    else this.#enqueue(this.#entry({ items: batch.items, body: pack(batch.body), id: undefined }));
  }

  /**
   * Sends what it holds, each batch once more, and resolves when that is done or `deadline` aborts. What remains is
   * counted as dropped unless storage has it.
   */
  async shutdown(deadline: AbortSignal): Promise<void> {
    this.#stopping.abort();
    const stop = () => this.#stopped.abort();
    if (deadline.aborted) stop();
    deadline.addEventListener('abort', stop);
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    deadline.removeEventListener('abort', stop);
    stop();
    for (const entry of this.#waiting.splice(0)) await this.#leave(entry);
    if (this.#kept > 0) this.#options.report.kept(this.#kept);
    if (this.#abandoned > 0) this.#options.report.abandoned(this.#abandoned);
  }

  #entry(batch: StoredBatch): Entry {
    return {
      items: batch.items,
      bytes: batch.body.length,
      ready: this.#store === undefined ? batch : this.#store.append(batch),
    };
  }

  #enqueue(entry: Entry): void {
    this.#waiting.push(entry);
    this.#waitingBytes += entry.bytes;
    if (this.#started && this.#inFlight < this.#options.concurrency) this.#work();
  }

  /** Delivers one batch after the other until none waits. */
  async #work(): Promise<void> {
    this.#inFlight++;
    for (let entry = this.#take(); entry !== undefined; entry = this.#take()) {
      const batch = await entry.ready;
      if (await this.#deliver(batch)) {
        if (batch.id !== undefined) this.#store?.done(batch.id);
      } else {
        this.#count(batch);
      }
    }
    this.#inFlight--;
    if (this.#inFlight === 0) this.#idle?.();
  }

  #take(): Entry | undefined {
    if (this.#stopped.signal.aborted) return undefined;
    const entry = this.#waiting.shift();
    if (entry === undefined) return undefined;
    this.#waitingBytes -= entry.bytes;
    if (this.#waiting.length <= this.#options.capacity / 2) this.#options.report.roomAgain();
    return entry;
  }

  /** Whether it is done with: delivered or given up. False: the agent stops before either. */
  async #deliver(batch: StoredBatch): Promise<boolean> {
    const { sender, report, retry } = this.#options;
    const backoff = new Backoff(retry);
    const startMs = performance.now();
    for (;;) {
      const lastAttempt = this.#stopping.signal.aborted;
      const result = await sender.send(batch.body, this.#stopped.signal);
      if (result.kind === 'delivered') {
        const { rejected, reason } = await this.#options.partialSuccess(result.response);
        report.delivered(batch.items, Math.min(rejected, batch.items), reason);
        return true;
      }
      if (result.kind === 'rejected') {
        report.failed(batch.items, result.reason);
        return true;
      }
      if (lastAttempt || this.#stopped.signal.aborted) return false;
      const delayMs = backoff.next(performance.now() - startMs, result.afterMs);
      if (delayMs === undefined) {
        report.failed(batch.items, `${result.reason}; no more retries by retry_on_failure`);
        return true;
      }
      report.retrying(result.reason);
      await wait(delayMs, this.#stopping.signal);
    }
  }

  /** Settles an entry that nobody will deliver any more. */
  async #leave(entry: Entry): Promise<void> {
    this.#count(await entry.ready);
  }

  #count(batch: StoredBatch): void {
    if (batch.id !== undefined) this.#kept++;
    else this.#abandoned += batch.items;
  }
}

/** Resolves after `ms`, or as soon as `signal` aborts. */
async function wait(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
