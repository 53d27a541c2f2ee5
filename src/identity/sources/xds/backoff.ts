/** Waiting times between attempts, as ztunnel has them: 10 ms, doubling to 15 s. */
const FIRST_MS = 10;
const LONGEST_MS = 15_000;

export class Backoff {
  #nextMs = FIRST_MS;

  /** Milliseconds to wait before the next attempt. */
  next(): number {
    const ms = this.#nextMs;
    this.#nextMs = Math.min(ms * 2, LONGEST_MS);
    return ms;
  }

  reset(): void {
    this.#nextMs = FIRST_MS;
  }
}
