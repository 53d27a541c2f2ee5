/**
 * A map with texts or numbers as keys that may have a hundred thousand entries, as many small ones. A Map that grows is made anew in
 * one piece, in 3 ms at 65,536 entries; and those that are kept of the workloads of a mesh all have as many, so that they
 * would grow in the same moment.
 */

/** What a Map and a WideMap have in common, as far as it is used. */
export interface MapLike<K, V> {
  readonly size: number;
  get(key: K): V | undefined;
  has(key: K): boolean;
  set(key: K, value: V): unknown;
  delete(key: K): boolean;
  keys(): IterableIterator<K>;
}

/**
 * A power of two. Not many: the table of a part that has some thousand entries is too large to be moved by collections,
 * while small ones are copied for as long as they are young.
 */
export const PARTS = 8;

export class WideMap<K extends string | number, V> implements MapLike<K, V> {
  readonly #parts = Array.from({ length: PARTS }, () => new Map<K, V>());
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: K): V | undefined {
    return this.#part(key).get(key);
  }

  has(key: K): boolean {
    return this.#part(key).has(key);
  }

  set(key: K, value: V): void {
    const part = this.#part(key);
    const before = part.size;
    part.set(key, value);
    this.#size += part.size - before;
  }

  delete(key: K): boolean {
    const had = this.#part(key).delete(key);
    if (had) this.#size--;
    return had;
  }

  /** In no order. */
  *keys(): IterableIterator<K> {
    for (const part of this.#parts) yield* part.keys();
  }

  #part(key: K): Map<K, V> {
    return this.#parts[partOf(key)]!;
  }
}

/** By the last bits, or by the last three characters, in which names and addresses of workloads differ. Shorter texts share a part. */
export function partOf(key: string | number): number {
  if (typeof key === 'number') return key & (PARTS - 1);
  const { length } = key;
  const code = key.charCodeAt(length - 1) + 7 * key.charCodeAt(length - 2) + 49 * key.charCodeAt(length - 3);
  return code & (PARTS - 1);
}
