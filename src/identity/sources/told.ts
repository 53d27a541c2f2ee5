/**
 * What was told of late. Attempts go on for hours, and several that fail in turn (addresses of one name, one server after
 * the other) have several messages: each is told, and again after a while, and not more than a few in that time.
 */
const TELL_AGAIN_MS = 600_000;
const MOST_AT_A_TIME = 8;

export class Told {
  readonly #now: () => number;
  /** Message → when it was told, the oldest first. */
  readonly #atMs = new Map<string, number>();

  /** `now`: milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whether the message is to be told now; then it counts as told. */
  isDue(message: string): boolean {
    const nowMs = this.#now();
    for (const [told, atMs] of this.#atMs) if (nowMs - atMs >= TELL_AGAIN_MS) this.#atMs.delete(told);
    if (this.#atMs.has(message) || this.#atMs.size >= MOST_AT_A_TIME) return false;
    this.#atMs.set(message, nowMs);
    return true;
  }

  /** Forgets all. Whether there was anything. */
  clear(): boolean {
    const { size } = this.#atMs;
    this.#atMs.clear();
    return size > 0;
  }
}
