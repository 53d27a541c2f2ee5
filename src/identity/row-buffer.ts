/** Rows put together for a batch of our own. The arrays are reused: a batch made here lasts until the next `clear`. */
import type { PairBatch, PairSource } from '../receiver/types.ts';

export class RowBuffer {
  #slot = new Uint32Array(0);
  #generation = new Uint32Array(0);
  #values = new Float64Array(0);
  #stride = 0;
  #count = 0;

  clear(stride: number): void {
    this.#stride = stride;
    this.#count = 0;
  }

  /** Copies the `stride` numbers of `values` from `at`. */
  push(slot: number, generation: number, values: Float64Array, at: number): void {
    const row = this.#count++;
    if (row >= this.#slot.length || (row + 1) * this.#stride > this.#values.length) this.#grow();
    this.#slot[row] = slot;
    this.#generation[row] = generation;
    this.#values.set(values.subarray(at, at + this.#stride), row * this.#stride);
  }

  batch(timeNs: number, source: PairSource): PairBatch {
    return {
      count: this.#count,
      slot: this.#slot,
      generation: this.#generation,
      values: this.#values,
      stride: this.#stride,
      timeNs,
      source,
    };
  }

  #grow(): void {
    const rows = Math.max(64, this.#count * 2);
    this.#slot = grown(Uint32Array, this.#slot, rows);
    this.#generation = grown(Uint32Array, this.#generation, rows);
    this.#values = grown(Float64Array, this.#values, rows * this.#stride);
  }
}

function grown<T extends Uint32Array | Float64Array>(type: new (length: number) => T, old: T, length: number): T {
  const larger = new type(Math.max(length, old.length));
  larger.set(old);
  return larger;
}
