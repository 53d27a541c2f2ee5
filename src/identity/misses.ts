/**
 * Keys that a table lacks and that somebody waits for. A search of the whole table answers all of them at once; a key
 * that it did not find counts as absent for a while, so that a key nobody can find does not cost a search each time.
 */
export class Misses<K> {
  readonly #keepMs: number;
  /** Whoever searches is to come, is under way, or found none at that time (wall-clock ms). */
  readonly #states = new Map<K, 'waiting' | 'searching' | number>();

  /** `keepMs`: how long a key stays absent without another search. */
  constructor(keepMs: number) {
    this.#keepMs = keepMs;
  }

  /** `absent`: a search has begun since the key was first asked for, and has not found it. `first`: a search is needed. */
  ask(key: K): 'absent' | 'first' | 'pending' {
    const state = this.#states.get(key);
    if (state === undefined) this.#states.set(key, 'waiting');
    return state === undefined ? 'first' : typeof state === 'number' ? 'absent' : 'pending';
  }

  /** A search begins: what is asked for from here on waits for the next one. Forgets what has been absent for long. */
  begin(nowMs: number): void {
    for (const [key, state] of this.#states) {
      if (typeof state !== 'number') this.#states.set(key, 'searching');
      else if (state <= nowMs - this.#keepMs) this.#states.delete(key);
    }
  }

  /** Whether somebody waits for a search that has not begun. */
  get waiting(): boolean {
    return [...this.#states.values()].includes('waiting');
  }

  /** The search is over: those that it was for are found or absent. Keys that earlier ones did not find may be, too. */
  end(isFound: (key: K) => boolean, nowMs: number): { readonly found: Set<K>; readonly absent: Set<K> } {
    const found = new Set<K>();
    const absent = new Set<K>();
    for (const [key, state] of this.#states) {
      if (isFound(key)) {
        this.#states.delete(key);
        found.add(key);
      } else if (state === 'searching') {
        this.#states.set(key, nowMs);
        absent.add(key);
      }
    }
    return { found, absent };
  }

  /** These are known to be gone: no search is needed for them. */
  setAbsent(keys: Iterable<K>, nowMs: number): void {
    for (const key of keys) this.#states.set(key, nowMs);
  }
}
