/**
 * A condition told to the log when it begins and when it ends, not once per batch. One that comes and goes all the time
 * is told once a minute at most; if it has come to stay, that is told when the minute is over.
 */
import type { Logger } from '../../collector/logger.ts';

const QUIET_MS = 60_000;

export class Alarm {
  readonly #logger: Logger;
  readonly #now: () => number;
  #raised = false;
  #told = false;
  #toldMs = Number.NEGATIVE_INFINITY;
  #times = 0;

  constructor(logger: Logger, now: () => number = () => performance.now()) {
    this.#logger = logger;
    this.#now = now;
  }

  raise(message: () => string): void {
    this.#times++;
    if (!this.#raised) this.#told = false;
    this.#raised = true;
    if (this.#told || this.#now() - this.#toldMs < QUIET_MS) return;
    this.#told = true;
    this.#toldMs = this.#now();
    this.#logger.warn(message());
  }

  /** `message` gets how often it was raised meanwhile. */
  clear(message: (times: number) => string): void {
    if (!this.#raised) return;
    this.#raised = false;
    if (!this.#told) return;
    this.#logger.info(message(this.#times));
    this.#times = 0;
  }
}
