/**
 * A map by address, open-addressed for IPv4: whether an address is in it is mostly told by one line of the processor's
 * cache, and who has it by one more. A Map takes three or four, and each new pair asks for two addresses or three, of
 * which most have been asked for long ago.
 */
import type { Address } from '../semconv/address.ts';
import { type MapLike, WideMap } from './wide-map.ts';

const FIRST_BITS = 4;
/** Of the places; linear probing then looks at two or three neighbours. */
const MAX_LOAD = 2 / 3;
/** In a place that is free. Nobody has the address 0.0.0.0 for his own; if it is given, it is among the others. */
const FREE = 0;

export class AddressMap<V> implements MapLike<Address, V> {
  #bits = FIRST_BITS;
  #keys = new Int32Array(2 ** FIRST_BITS);
  #values: (V | undefined)[] = new Array(2 ** FIRST_BITS).fill(undefined);
  #count = 0;
  readonly #others = new WideMap<Address, V>();

  get size(): number {
    return this.#count + this.#others.size;
  }

  get(address: Address): V | undefined {
    if (isOther(address)) return this.#others.get(address);
    return this.#values[this.#find(address)];
  }

  has(address: Address): boolean {
    return isOther(address) ? this.#others.has(address) : this.#keys[this.#find(address)] !== FREE;
  }

  set(address: Address, value: V): void {
    if (isOther(address)) {
      this.#others.set(address, value);
      return;
    }
    let place = this.#find(address);
    if (this.#keys[place] === FREE) {
      if (++this.#count > this.#keys.length * MAX_LOAD) {
        this.#grow();
        place = this.#find(address);
      }
      this.#keys[place] = address;
    }
    this.#values[place] = value;
  }

  delete(address: Address): boolean {
    if (isOther(address)) return this.#others.delete(address);
    const keys = this.#keys;
    const last = keys.length - 1;
    let gap = this.#find(address);
    if (keys[gap] === FREE) return false;
    this.#count--;
    // Those behind it that would not be found any more move up.
    for (let place = (gap + 1) & last; keys[place] !== FREE; place = (place + 1) & last) {
      const distance = (place - this.#home(keys[place]!)) & last;
      if (distance < ((place - gap) & last)) continue;
      keys[gap] = keys[place]!;
      this.#values[gap] = this.#values[place];
      gap = place;
    }
    keys[gap] = FREE;
    this.#values[gap] = undefined;
    return true;
  }

  /** In no order. */
  *keys(): IterableIterator<Address> {
    for (const key of this.#keys) if (key !== FREE) yield key;
    yield* this.#others.keys();
  }

  /** Where the address is, or would be. */
  #find(address: number): number {
    const keys = this.#keys;
    const last = keys.length - 1;
    let place = this.#home(address);
    while (keys[place] !== address && keys[place] !== FREE) place = (place + 1) & last;
    return place;
  }

  #home(address: number): number {
    return hashOf(address, this.#bits);
  }

  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#bits++;
    this.#keys = new Int32Array(2 ** this.#bits);
    this.#values = new Array(2 ** this.#bits).fill(undefined);
    for (const [at, key] of keys.entries()) {
      if (key === FREE) continue;
      const place = this.#find(key);
      this.#keys[place] = key;
      this.#values[place] = values[at];
    }
  }
}

/** Of an IPv4 address, in so many bits: Knuth's multiplicative hash. */
export const hashOf = (address: number, bits: number): number => Math.imul(address, 0x9e3779b1) >>> (32 - bits);

const isOther = (address: Address): address is Exclude<Address, number> =>
  typeof address === 'string' || address === FREE;
