/** One signal's way out: queue, transport, storage and what is counted about them. */
import type { Settings, Signal } from '../../collector/component.ts';
import type { StorageExtension } from '../../collector/storage.ts';
import type { Batch } from './batch.ts';
import { BatchJournal } from './batch-journal.ts';
import type { OtlpConfig } from './config.ts';
import { DeliveryReport } from './delivery-report.ts';
import { partialSuccessOf } from './partial-success.ts';
import type { Pack, Sender } from './sender.ts';
import { SendingQueue } from './sending-queue.ts';

/** Logs are independent of each other; cumulative points should arrive in order. */
const CONCURRENCY: Readonly<Record<Signal, number>> = { logs: 4, metrics: 1 };

export class Lane {
  /** Batches that may be held, those in flight included. */
  readonly capacity: number;
  readonly #owner: string;
  readonly #signal: Signal;
  readonly #sender: Sender;
  readonly #report: DeliveryReport;
  readonly #queue: SendingQueue;
  #store: BatchJournal | undefined;

  constructor(settings: Settings, config: OtlpConfig, signal: Signal, pack: Pack, sender: Sender) {
    const waiting = config.sending_queue.enabled ? config.sending_queue.queue_size : 0;
    this.capacity = waiting + CONCURRENCY[signal];
    this.#owner = settings.id;
    this.#signal = signal;
    this.#sender = sender;
    this.#report = new DeliveryReport(settings, signal, sender.target);
    this.#queue = new SendingQueue({
      pack,
      sender,
      report: this.#report,
      retry: config.retry_on_failure,
      capacity: waiting,
      concurrency: CONCURRENCY[signal],
      partialSuccess: (response) => partialSuccessOf(signal, response),
    });
  }

  /** Batches held. */
  get size(): number {
    return this.#queue.size;
  }

  /** The body is read before this returns, and never after. */
  offer(batch: Batch): void {
    this.#queue.offer(batch);
  }

  /** Rejects with TCPL_E_STORAGE when what an earlier run left cannot be read. */
  async start(storage: StorageExtension | undefined): Promise<void> {
    if (storage === undefined) {
      this.#queue.start();
      return;
    }
    const journal = await storage.journal(this.#owner, this.#signal);
    const { store, batches } = await BatchJournal.open(journal, this.#report);
    this.#store = store;
    this.#queue.start(store, batches);
  }

  async shutdown(deadline: AbortSignal): Promise<void> {
    await this.#queue.shutdown(deadline);
    if (this.#store !== undefined) {
      await Promise.race([this.#store.close(), aborted(deadline)]);
      if (this.#store.unmarked > 0) this.#report.mayRepeat(this.#store.unmarked);
    }
    this.#sender.close();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
