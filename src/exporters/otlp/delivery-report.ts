/** Counts and tells what became of the batches of one signal: telemetry.md §4, `tcpledger_export_…`. */
import type { Settings, Signal } from '../../collector/component.ts';
import type { CounterHandle } from '../../collector/telemetry.ts';
import { AGENT_METRICS } from '../../semconv/registry.ts';
import { Alarm } from './alarm.ts';
import type { JournalEvents } from './batch-journal.ts';

/** What a batch holds, for messages and counters. */
const UNIT: Readonly<Record<Signal, string>> = { logs: 'records', metrics: 'points' };

export class DeliveryReport implements JournalEvents {
  readonly #settings: Settings;
  readonly #what: string;
  readonly #unit: string;
  readonly #sent: CounterHandle;
  readonly #failed: CounterHandle;
  readonly #dropped: CounterHandle;
  readonly #unreachable: Alarm;
  readonly #rejected: Alarm;
  readonly #partial: Alarm;
  readonly #full: Alarm;
  readonly #unstored: Alarm;
  readonly #unmarked: Alarm;
  readonly #uncompacted: Alarm;

  constructor(settings: Settings, signal: Signal, target: string) {
    const { logger, telemetry } = settings;
    const labels = { exporter: settings.id, signal };
    this.#settings = settings;
    this.#what = `sending ${signal} to ${target}`;
    this.#unit = UNIT[signal];
    this.#sent = telemetry.counter(AGENT_METRICS.exportSent, labels);
    this.#failed = telemetry.counter(AGENT_METRICS.exportFailed, labels);
    this.#dropped = telemetry.counter(AGENT_METRICS.exportDropped, labels);
    this.#unreachable = new Alarm(logger);
    this.#rejected = new Alarm(logger);
    this.#partial = new Alarm(logger);
    this.#full = new Alarm(logger);
    this.#unstored = new Alarm(logger);
    this.#unmarked = new Alarm(logger);
    this.#uncompacted = new Alarm(logger);
  }

  /** `rejected`: how many of the items the peer says it has not taken; `reason`: its words, '' for none. */
  delivered(items: number, rejected: number, reason: string): void {
    this.#sent.add(items - rejected);
    this.#unreachable.clear((times) => `${this.#what} works again after ${times} failed attempts`);
    this.#rejected.clear((times) => `${this.#what} works again after ${times} rejected batches`);
    this.#failed.add(rejected);
    if (rejected > 0) {
      this.#partial.raise(
        () => `${this.#what}: the peer refused ${rejected} ${this.#unit} of a batch it took: ${reason}`,
      );
    } else if (reason !== '') {
      this.#partial.raise(() => `${this.#what}: the peer took a batch, but ${reason}`);
    } else {
      this.#partial.clear(
        (times) => `${this.#what}: batches are taken without complaint again after ${times} that were not`,
      );
    }
  }

  /** An attempt failed and there will be another. */
  retrying(reason: string): void {
    this.#unreachable.raise(() => `${this.#what} failed: ${reason}; trying again until it works`);
  }

  /** The batch is given up: the peer refuses it, or the time for retries is over. */
  failed(items: number, reason: string): void {
    this.#failed.add(items);
    this.#rejected.raise(
      () => `${this.#what} failed for good: ${reason}; ${items} ${this.#unit} lost, and more while this lasts`,
    );
  }

  /** The queue took no more. */
  full(items: number): void {
    this.#dropped.add(items);
    this.#full.raise(
      () =>
        `${this.#what}: the queue is full, new ${this.#unit} are dropped and counted; ` +
        'the peer is too slow or away, sending_queue.queue_size sets how much is kept for it',
    );
  }

  /** The queue has room again, and more than a little. */
  roomAgain(): void {
    this.#full.clear((times) => `${this.#what}: the queue has room again after ${times} dropped batches`);
  }

  /** Left over when the time for shutting down was up. */
  abandoned(items: number): void {
    this.#dropped.add(items);
    this.#settings.logger.warn(
      `${this.#what}: ${items} ${this.#unit} could not be delivered before the end and are dropped`,
    );
  }

  /** Left over, but in storage. */
  kept(batches: number): void {
    this.#settings.logger.info(`${this.#what}: ${batches} batches stay in storage and are sent after the next start`);
  }

  recovered(batches: number): void {
    this.#settings.logger.info(`${this.#what}: ${batches} batches of an earlier run are in storage and are sent first`);
  }

  /** Storage did not take batches. */
  unstored(error: Error): void {
    this.#unstored.raise(
      () => `${this.#what}: batches are kept in memory only, a restart would lose them: ${error.message}`,
    );
  }

  /** Storage did not take the marks of batches that are done with. */
  unmarked(batches: number, error: Error): void {
    this.#unmarked.raise(
      () =>
        `${this.#what}: ${batches} batches were delivered or given up, and storage cannot be told so. It is told as ` +
        `soon as it works; if the agent is killed before, the next one sends them again: ${error.message}`,
    );
  }

  stored(): void {
    this.#unstored.clear((times) => `${this.#what}: storage takes batches again after ${times} failures`);
    this.#unmarked.clear(
      (times) => `${this.#what}: storage knows again which batches were delivered or given up, after ${times} failures`,
    );
  }

  /** The end has come, and storage does not know of so many batches that they are done with. */
  mayRepeat(batches: number): void {
    this.#settings.logger.warn(
      `${this.#what}: ${batches} batches were delivered or given up, and storage could not be told so before the end: ` +
        'the next start may send them again',
    );
  }

  /** Storage could not be cleared of what is done with. */
  uncompacted(error: Error): void {
    this.#uncompacted.raise(
      () =>
        `${this.#what}: the stored queue cannot be rewritten without what was delivered. The old file goes on: nothing ` +
        `is lost or sent twice by that, but it grows until this works: ${error.message}`,
    );
  }

  compacted(): void {
    this.#uncompacted.clear((times) => `${this.#what}: the stored queue has been rewritten after ${times} failures`);
  }
}
