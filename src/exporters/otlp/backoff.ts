/** Waiting times between attempts, as the Collector's `retry_on_failure` computes them. */

export interface RetryConfig {
  readonly enabled: boolean;
  /** All in milliseconds. */
  readonly initial_interval: number;
  readonly max_interval: number;
  /** Since the first attempt; 0: for ever. */
  readonly max_elapsed_time: number;
}

/** The Collector's defaults of `multiplier` and `randomization_factor`. */
const MULTIPLIER = 1.5;
const RANDOMIZATION = 0.5;

/** A peer's wish beyond this is not believed; it also keeps timers in their range. */
const LONGEST_WISH_MS = 60 * 60 * 1000;

export class Backoff {
  readonly #config: RetryConfig;
  readonly #random: () => number;
  #intervalMs: number;

  constructor(config: RetryConfig, random: () => number = Math.random) {
    this.#config = config;
    this.#random = random;
    this.#intervalMs = Math.min(config.initial_interval, config.max_interval);
  }

  /**
   * Milliseconds to wait before the next attempt, at least as long as the peer asked for; undefined when the time for
   * retries is over. `elapsedMs`: since the first attempt.
   */
  next(elapsedMs: number, afterMs = 0): number | undefined {
    const { enabled, max_elapsed_time, max_interval } = this.#config;
    if (!enabled) return undefined;
    const jittered = this.#intervalMs * (1 + RANDOMIZATION * (2 * this.#random() - 1));
    this.#intervalMs = Math.min(this.#intervalMs * MULTIPLIER, max_interval);
    const delay = Math.max(jittered, Math.min(afterMs, LONGEST_WISH_MS));
    if (max_elapsed_time > 0 && elapsedMs + delay > max_elapsed_time) return undefined;
    return delay;
  }
}
