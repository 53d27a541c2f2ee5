/** Waiting times between attempts at the API server: doubling, spread so that a thousand agents do not come at once. */
export interface BackoffTimes {
  readonly firstMs: number;
  readonly longestMs: number;
}

/** A server's wish beyond this is not believed. */
const LONGEST_WISH_MS = 300_000;

export class Backoff {
  readonly #times: BackoffTimes;
  readonly #random: () => number;
  #nextMs: number;

  /** `random`: in [0, 1). */
  constructor(times: BackoffTimes, random: () => number) {
    this.#times = times;
    this.#random = random;
    this.#nextMs = times.firstMs;
  }

  /** Milliseconds: between half and the whole of the current time, not less than the server asked for. */
  next(askedMs = 0): number {
    const delay = this.#nextMs * (0.5 + 0.5 * this.#random());
    this.#nextMs = Math.min(2 * this.#nextMs, this.#times.longestMs);
    return Math.max(delay, Math.min(askedMs, LONGEST_WISH_MS));
  }

  reset(): void {
    this.#nextMs = this.#times.firstMs;
  }
}
