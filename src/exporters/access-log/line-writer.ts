/**
 * Writes lines in order and never blocks the caller: they wait in a bounded queue while the output is slow or failing.
 * Every line arrives whole and once, or is counted as dropped:
 *   output_full    the output is slower than the lines come, the queue is full
 *   output_error   the output refuses (disk full, input/output error) and the queue is full
 *   output_closed  nobody reads the pipe any more
 *   shutdown       still waiting when the time for the shutdown was over
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../collector/logger.ts';
import { LineQueue } from './line-queue.ts';
import type { Output } from './open-output.ts';
import { type Sink, SinkClosed } from './sink.ts';

export type DropReason = 'output_full' | 'output_error' | 'output_closed' | 'shutdown';

export interface LineWriterOptions {
  readonly output: Output;
  /** Lines are taken while fewer bytes than this wait. One batch may go beyond it. */
  readonly limitBytes: number;
  readonly logger: Logger;
  readonly onDropped: (reason: DropReason, lines: number) => void;
  /** First and longest wait before a failed write is tried again, in milliseconds. */
  readonly retryMs?: { readonly first: number; readonly longest: number };
}

const RETRY_MS = { first: 100, longest: 5000 };

/** A device that takes no more just now: no failure. */
const BUSY_MS = 10;

export class LineWriter {
  readonly #options: Required<LineWriterOptions>;
  readonly #queue = new LineQueue();
  #sink: Sink | undefined;
  /** Opened by reopen(); takes over at the next end of a line. */
  #next: Sink | undefined;
  #draining = false;
  /** Resolves when nothing waits any more, or nothing more can be done about it. */
  #drained: Promise<void> = Promise.resolve();
  /** Ends the wait before the next try. */
  #wake = new AbortController();
  /** 'failing': the last write was refused. 'closed': nobody reads. */
  #state: 'working' | 'failing' | 'closed' = 'working';
  /** Lines dropped since the queue was found full; 0 again when half of it is free. */
  #droppedInARow = 0;
  #closing = false;

  constructor(options: LineWriterOptions) {
    this.#options = { retryMs: RETRY_MS, ...options };
  }

  /** Writes what came before, too. Rejects with TCPL_E_OUTPUT. */
  async open(): Promise<void> {
    this.#sink = await this.#options.output.open();
    this.#run();
  }

  /** Whether `lines` lines may be written now; if not they are counted as dropped, and need not be made. */
  admits(lines: number): boolean {
    if (this.#state === 'closed') {
      this.#options.onDropped('output_closed', lines);
      return false;
    }
    if (this.#queue.bytes < this.#options.limitBytes) return true;
    if (this.#droppedInARow === 0) this.#warnOfDrops();
    this.#droppedInARow += lines;
    this.#options.onDropped(this.#state === 'failing' ? 'output_error' : 'output_full', lines);
    return false;
  }

  /** Whole lines, admitted before. The writer owns the buffer from now on. */
  write(lines: Buffer): void {
    this.#queue.push(lines);
    this.#run();
  }

  /** Goes on in a file newly opened at the same path; what was begun is finished in the old one. Never rejects. */
  async reopen(): Promise<void> {
    const { output, logger } = this.#options;
    let opened: Sink;
    try {
      opened = await output.open();
    } catch (error) {
      logger.error(`${(error as Error).message}. Going on with the file opened before`);
      return;
    }
    const superseded = this.#closing ? opened : this.#next;
    if (!this.#closing) {
      // Before the other one is closed: a write that ends meanwhile must not go on in that.
      this.#next = opened;
      this.#wake.abort();
      this.#run();
    }
    if (superseded !== undefined) await this.#free(superseded);
  }

  /** Writes what waits, until `deadline`; an output that refuses gets one more try. */
  async close(deadline: AbortSignal): Promise<void> {
    this.#closing = true;
    this.#wake.abort();
    this.#run();
    const over = aborted(deadline);
    await Promise.race([this.#drained, over]);
    const { output, logger, onDropped } = this.#options;
    const left = this.#queue.clear();
    if (left > 0) {
      onDropped('shutdown', left);
      logger.error(`${left} access-log lines could not be written to ${output.name} before the end and are lost`);
    }
    const sinks = [this.#sink, this.#next].filter((sink) => sink !== undefined);
    this.#sink = undefined;
    this.#next = undefined;
    await Promise.race([Promise.all(sinks.map((sink) => this.#free(sink))), over]);
  }

  #run(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#drained = this.#drain();
  }

  async #drain(): Promise<void> {
    const { first, longest } = this.#options.retryMs;
    let failures = 0;
    try {
      for (;;) {
        // A line begun in the old file is finished there, unless that file refuses.
        if (this.#next !== undefined && (this.#queue.torn === 0 || this.#state !== 'working')) await this.#switch();
        const lines = this.#queue.head();
        if (lines === undefined || this.#sink === undefined) return;
        try {
          const bytes = await this.#sink.write(lines);
          failures = 0;
          this.#written(bytes);
          if (bytes === 0) await this.#wait(BUSY_MS);
        } catch (error) {
          if (error instanceof SinkClosed) {
            this.#closedByReader(error);
            continue;
          }
          await this.#refused(error as Error);
          if (this.#closing) return;
          await this.#wait(Math.min(first * 2 ** failures++, longest));
        }
      }
    } finally {
      // Here and not in a `then`: lines that come in between would find nobody to write them.
      this.#draining = false;
    }
  }

  #written(bytes: number): void {
    const { output, logger, limitBytes } = this.#options;
    // close() gave up while this write was under way.
    if (this.#queue.bytes === 0) return;
    this.#queue.advance(bytes);
    if (this.#state === 'failing') {
      this.#state = 'working';
      logger.info(`access log ${output.name} can be written again`);
    }
    if (this.#droppedInARow > 0 && this.#queue.bytes <= limitBytes / 2) {
      logger.warn(`access log ${output.name} takes lines again; ${this.#droppedInARow} were dropped`);
      this.#droppedInARow = 0;
    }
  }

  async #refused(error: Error): Promise<void> {
    const { torn } = this.#queue;
    if (torn > 0 && (await this.#sink!.retract(torn))) this.#queue.rewind();
    if (this.#state === 'failing') return;
    this.#state = 'failing';
    this.#options.logger.error(
      `cannot write the access log ${this.#options.output.name}: ${error.message}; ` +
        `up to ${kib(this.#options.limitBytes)} are kept and written when it works again, lines beyond are dropped and counted`,
    );
  }

  #closedByReader(error: SinkClosed): void {
    const { output, logger, onDropped } = this.#options;
    const lost = this.#queue.clear();
    // close() gave up on this write, and has counted its lines.
    if (lost === 0) return;
    this.#state = 'closed';
    onDropped('output_closed', lost);
    logger.error(
      `access log ${output.name}: ${error.message} (${(error.cause as Error).message}); ` +
        'lines are dropped and counted from now on, everything else goes on',
    );
  }

  async #switch(): Promise<void> {
    this.#queue.rewind();
    const old = this.#sink;
    this.#sink = this.#next;
    this.#next = undefined;
    this.#state = 'working';
    this.#options.logger.info(`access log ${this.#options.output.name} opened anew`);
    if (old !== undefined) await this.#free(old);
  }

  async #free(sink: Sink): Promise<void> {
    try {
      await sink.close();
    } catch (error) {
      this.#options.logger.warn(`closing the access log ${this.#options.output.name}: ${(error as Error).message}`);
    }
  }

  #warnOfDrops(): void {
    const { output, logger, limitBytes } = this.#options;
    logger.warn(
      `access log ${output.name} ${this.#state === 'failing' ? 'cannot be written' : 'is too slow'} and ` +
        `${kib(limitBytes)} wait for it: new lines are dropped and counted until there is room`,
    );
  }

  /** Until the time is over, reopen() or close(). */
  async #wait(ms: number): Promise<void> {
    if (this.#next !== undefined) return;
    this.#wake = new AbortController();
    await sleep(ms, undefined, { signal: this.#wake.signal }).catch(() => undefined);
  }
}

const kib = (bytes: number): string => `${Math.ceil(bytes / 1024)} KiB`;

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
