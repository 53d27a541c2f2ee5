import type { MapLike } from './wide-map.ts';

/** A map from a key to several values that spends no set on the many keys that have one. */
export class MultiMap<K, V extends object> {
  readonly #map: MapLike<K, V | Set<V>>;

  /** `map`: to be filled, a WideMap where there will be very many keys. */
  constructor(map: MapLike<K, V | Set<V>> = new Map()) {
    this.#map = map;
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

  *get(key: K): IterableIterator<V> {
    const held = this.#map.get(key);
    if (held instanceof Set) yield* held;
    else if (held !== undefined) yield held;
  }
}
