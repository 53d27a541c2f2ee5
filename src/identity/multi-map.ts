/** A map from a key to several values that spends no set on the many keys that have one. */
export class MultiMap<K, V extends object> {
  readonly #map = new Map<K, V | Set<V>>();

  /** Keys with a value. */
  get size(): number {
    return this.#map.size;
  }

  has(key: K): boolean {
    return this.#map.has(key);
  }

  keys(): IterableIterator<K> {
    return this.#map.keys();
  }

  add(key: K, value: V): void {
    const held = this.#map.get(key);
    if (held === undefined) this.#map.set(key, value);
    else if (held instanceof Set) held.add(value);
    else if (held !== value) this.#map.set(key, new Set([held, value]));
  }

  delete(key: K, value: V): void {
    const held = this.#map.get(key);
    if (held === value) this.#map.delete(key);
    else if (held instanceof Set && held.delete(value) && held.size === 0) this.#map.delete(key);
  }

  /** The first value of the key that `is` holds for. */
  find(key: K, is: (value: V) => boolean): V | undefined {
    const held = this.#map.get(key);
    if (held === undefined) return undefined;
    if (!(held instanceof Set)) return is(held) ? held : undefined;
    for (const value of held) if (is(value)) return value;
    return undefined;
  }

  /** Values may be deleted while they are looked at. */
  get(key: K): Iterable<V> {
    const held = this.#map.get(key);
    if (held === undefined) return [];
    return held instanceof Set ? held : [held];
  }
}
