/** A map from a key to several values that spends no set on the many keys that have one. */
import { type OneOrMany, valuesOf, withoutValue, withValue } from './one-or-many.ts';
import type { MapLike } from './wide-map.ts';

export class MultiMap<K, V extends object> {
  readonly #map: MapLike<K, OneOrMany<V>>;

  /** `map`: to be filled, a WideMap where there will be very many keys. */
  constructor(map: MapLike<K, OneOrMany<V>> = new Map()) {
    this.#map = map;
  }

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
    const now = withValue(held, value);
    if (now !== held) this.#map.set(key, now);
  }

  delete(key: K, value: V): void {
    if (withoutValue(this.#map.get(key), value) === undefined) this.#map.delete(key);
  }

  /** The first value of the key that `is` holds for. */
  find(key: K, is: (value: V) => boolean): V | undefined {
    for (const value of this.get(key)) if (is(value)) return value;
    return undefined;
  }

  /** As they are kept: for one value, as most keys have, nothing is made. */
  held(key: K): OneOrMany<V> {
    return this.#map.get(key);
  }

  /** Values may be deleted while they are looked at. */
  get(key: K): Iterable<V> {
    return valuesOf(this.#map.get(key));
  }
}
