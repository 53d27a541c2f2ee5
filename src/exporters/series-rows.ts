/**
 * The rows of one label set family: interned label sets, their values in one growable array, and when they last moved.
 * Row numbers are reused after a drop; `serial` tells a row from its successors under the same number.
 */
import type { Peers } from '../identity/types.ts';
import { type LabelText, renderLabels } from './label-text.ts';
import { RowEnds } from './row-ends.ts';
import type { SetLayout } from './series-layout.ts';

const FIRST_CAPACITY = 64;

/** One label set. Immutable but for `ends`, so that a page being written may keep it after the row was dropped. */
export interface SeriesRow {
  readonly labelValues: readonly string[];
  readonly text: LabelText;
  /** Wall-clock milliseconds. */
  readonly createdMs: number;
  readonly ends: RowEnds;
}

export class SeriesRows {
  readonly layout: SetLayout;
  readonly #labelValues: (peers: Peers) => readonly string[];
  /** undefined: the number is free. */
  readonly #rows: (SeriesRow | undefined)[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #free: number[] = [];
  /** Row r is values[r * stride] and on. */
  #values: Float64Array;
  /** Wall-clock milliseconds of the last update. */
  #lastSeenMs = new Float64Array(FIRST_CAPACITY);
  #serials = new Uint32Array(FIRST_CAPACITY);

  constructor(layout: SetLayout, labelValues: (peers: Peers) => readonly string[]) {
    this.layout = layout;
    this.#labelValues = labelValues;
    this.#values = new Float64Array(FIRST_CAPACITY * layout.stride);
  }

  /** Rows in use. */
  get size(): number {
    return this.#numbers.size;
  }

  serial(row: number): number {
    return this.#serials[row]!;
  }

  /** The row of these peers' label set, made if there is none. A few microseconds: callers keep the number and its serial. */
  intern(peers: Peers, nowMs: number): number {
    const labelValues = this.#labelValues(peers);
    const text = renderLabels(this.layout.labels, labelValues, this.layout.splitAt);
    // latin1 is one character a byte: the shortest string that is equal exactly when the bytes are.
    const key = text.bytes.toString('latin1');
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#free.pop() ?? this.#rows.length;
      this.#reserve(number);
      this.#rows[number] = { labelValues, text, createdMs: nowMs, ends: new RowEnds() };
      this.#lastSeenMs[number] = nowMs;
      this.#numbers.set(key, number);
    }
    this.#rows[number]!.ends.add(peers);
    return number;
  }

  /** Adds the differences of one batch row, which starts at `offset` of `batch`. The hot path. */
  add(row: number, role: Peers['reporter'], batch: Float64Array, offset: number, nowMs: number): void {
    const from = this.layout.from[role];
    const values = this.#values;
    const base = row * this.layout.stride;
    for (let column = 0; column < from.length; column++) {
      const difference = batch[offset + from[column]!]!;
      // Most are 0, above all histogram buckets. A test is cheaper than the write, and leaves the row's memory alone.
      if (difference !== 0) values[base + column]! += difference;
    }
    this.#lastSeenMs[row] = nowMs;
  }

  /**
   * Drops the rows without open connections that have been idle since `sinceMs` and one of whose ends has been gone
   * since then. Returns how many.
   */
  expire(sinceMs: number): number {
    let dropped = 0;
    for (const [key, number] of this.#numbers) {
      if (this.#lastSeenMs[number]! > sinceMs) continue;
      if (this.#values[number * this.layout.stride + this.layout.active]! > 0) continue;
      if (!this.#rows[number]!.ends.goneSince(sinceMs)) continue;
      this.#numbers.delete(key);
      this.#rows[number] = undefined;
      this.#values.fill(0, number * this.layout.stride, (number + 1) * this.layout.stride);
      this.#serials[number]!++;
      this.#free.push(number);
      dropped++;
    }
    return dropped;
  }

  /** A copy that stays as it is: free numbers are undefined, row r's values start at r * stride. */
  snapshot(): { rows: readonly (SeriesRow | undefined)[]; values: Float64Array } {
    return { rows: this.#rows.slice(), values: this.#values.slice(0, this.#rows.length * this.layout.stride) };
  }

  #reserve(number: number): void {
    if (number < this.#serials.length) return;
    const capacity = this.#serials.length * 2;
    this.#values = grown(this.#values, capacity * this.layout.stride, Float64Array);
    this.#lastSeenMs = grown(this.#lastSeenMs, capacity, Float64Array);
    this.#serials = grown(this.#serials, capacity, Uint32Array);
  }
}

/** A longer copy, zero behind what was there. */
export function grown<T extends Float64Array | Uint32Array | Int32Array>(
  old: T,
  length: number,
  kind: new (length: number) => T,
): T {
  const copy = new kind(length);
  copy.set(old);
  return copy;
}
