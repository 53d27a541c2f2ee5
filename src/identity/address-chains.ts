/**
 * Which of many numbered things have an address, without a table of the addresses: those whose addresses have the same
 * hash are a chain. A flood of new pairs adds and deletes one for each, which here writes to a few places in arrays of
 * numbers and leaves nothing to be collected; whoever asks, which is seldom, looks at the others of a chain too.
 */
import type { Address } from '../semconv/address.ts';
import { hashOf } from './address-map.ts';

/** 32,768 slots make chains of four. */
const CHAIN_BITS = 13;
const CHAINS = 2 ** CHAIN_BITS;
const FIRST_CAPACITY = 1_024;
const NONE = -1;

export class AddressChains {
  /** The number with which a chain begins, by hash. */
  readonly #first = new Int32Array(CHAINS).fill(NONE);
  /** By number. */
  #next = new Int32Array(FIRST_CAPACITY);
  #previous = new Int32Array(FIRST_CAPACITY);
  #chain = new Uint16Array(FIRST_CAPACITY);

  /** `number`: a small one that is in no chain. */
  add(number: number, address: Address): void {
    this.#reserve(number);
    const chain = chainOf(address);
    const next = this.#first[chain]!;
    this.#first[chain] = number;
    this.#chain[number] = chain;
    this.#previous[number] = NONE;
    this.#next[number] = next;
    if (next !== NONE) this.#previous[next] = number;
  }

  /** Of a number that was added. */
  delete(number: number): void {
    const next = this.#next[number]!;
    const previous = this.#previous[number]!;
    if (previous === NONE) this.#first[this.#chain[number]!] = next;
    else this.#next[previous] = next;
    if (next !== NONE) this.#previous[next] = previous;
  }

  /** Those that have the address, and a few others. Nothing may be added or deleted while they are looked at. */
  *candidates(address: Address): IterableIterator<number> {
    for (let number = this.#first[chainOf(address)]!; number !== NONE; number = this.#next[number]!) yield number;
  }

  #reserve(number: number): void {
    if (number < this.#next.length) return;
    const capacity = 2 * number;
    this.#next = extended(this.#next, new Int32Array(capacity));
    this.#previous = extended(this.#previous, new Int32Array(capacity));
    this.#chain = extended(this.#chain, new Uint16Array(capacity));
  }
}

function extended<T extends Int32Array | Uint16Array>(array: T, longer: T): T {
  longer.set(array);
  return longer;
}

/** Of text FNV-1a over the characters. */
function chainOf(address: Address): number {
  if (typeof address === 'number') return hashOf(address, CHAIN_BITS);
  let hash = 0x811c9dc5;
  for (let i = 0; i < address.length; i++) hash = Math.imul(hash ^ address.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 16)) & (CHAINS - 1);
}
