/**
 * (slot, generation) → row of one label set, for one source of batches: slot numbers mean nothing between sources.
 * Typed arrays, so that a slot seen before costs a few loads.
 */
import { grown, type SeriesRows } from './series-rows.ts';

const FIRST_CAPACITY = 1024;

export class SlotRows {
  readonly #rows: SeriesRows;
  #generation = new Uint32Array(FIRST_CAPACITY);
  /** Row number + 1; 0: none yet. */
  #row = new Uint32Array(FIRST_CAPACITY);
  #serial = new Uint32Array(FIRST_CAPACITY);

  constructor(rows: SeriesRows) {
    this.#rows = rows;
  }

  /** The row, or -1: not known, another generation's, or dropped since. */
  find(slot: number, generation: number): number {
    if (slot >= this.#row.length) return -1;
    const row = this.#row[slot]! - 1;
    if (row === -1 || this.#generation[slot] !== generation) return -1;
    return this.#serial[slot] === this.#rows.serial(row) ? row : -1;
  }

  set(slot: number, generation: number, row: number): void {
    if (slot >= this.#row.length) {
      const capacity = 2 ** Math.ceil(Math.log2(slot + 1));
      this.#generation = grown(this.#generation, capacity, Uint32Array);
      this.#row = grown(this.#row, capacity, Uint32Array);
      this.#serial = grown(this.#serial, capacity, Uint32Array);
    }
    this.#generation[slot] = generation;
    this.#row[slot] = row + 1;
    this.#serial[slot] = this.#rows.serial(row);
  }
}
