/**
 * A buffer that lines of a page are written into and taken out of by chunks. It is reused: a chunk is valid until the
 * next write. Writing checks no bounds; callers ask for room first, a bound on all they will write.
 */
import { Buffer } from 'node:buffer';

const NEWLINE = 10;
const ZERO = 48;

/** No number of the format is longer: sign, 17 digits, point, exponent. */
export const NUMBER_LENGTH = 32;

/** Below this, a loop is faster than a call into the runtime. */
const SHORT = 24;

export class PageBuffer {
  readonly #size: number;
  #bytes: Buffer;
  #at = 0;

  /** `size`: bytes a chunk holds, unless a single `room` asks for more. */
  constructor(size: number) {
    this.#size = size;
    this.#bytes = Buffer.allocUnsafeSlow(size);
  }

  /** Whether `length` more bytes fit into the chunk that is being written. An empty chunk grows to fit. */
  room(length: number): boolean {
    if (this.#at + length <= this.#bytes.length) return true;
    if (this.#at > 0) return false;
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(length, this.#size));
    return true;
  }

  /** What was written since the last take; the next write starts at the front again. */
  take(): Uint8Array {
    const chunk = this.#bytes.subarray(0, this.#at);
    this.#at = 0;
    return chunk;
  }

  put(source: Uint8Array): void {
    this.putPart(source, 0, source.length);
  }

  putPart(source: Uint8Array, start: number, end: number): void {
    const bytes = this.#bytes;
    let at = this.#at;
    if (end - start < SHORT) {
      for (let i = start; i < end; i++) bytes[at++] = source[i]!;
    } else {
      bytes.set(start === 0 && end === source.length ? source : source.subarray(start, end), at);
      at += end - start;
    }
    this.#at = at;
  }

  /** A value and the end of its line. Every double prints as `${value}` does, infinity as the format wants it. */
  putValue(value: number): void {
    if (value >= 0 && value < 1e9 && Math.floor(value) === value) this.#putDigits(value, 1);
    else if (value >= 1e9 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value) {
      const high = Math.floor(value / 1e9);
      this.#putDigits(high, 1);
      this.#putDigits(value - high * 1e9, 9);
    } else if (value === Number.POSITIVE_INFINITY) this.#putText('+Inf');
    else if (value === Number.NEGATIVE_INFINITY) this.#putText('-Inf');
    else this.#putText(`${value}`);
    this.#bytes[this.#at++] = NEWLINE;
  }

  /** An integer below 1e9, with zeros in front up to `width` digits. */
  #putDigits(value: number, width: number): void {
    let length = width;
    for (let limit = 10 ** width; value >= limit; limit *= 10) length++;
    const bytes = this.#bytes;
    let rest = value | 0;
    for (let at = this.#at + length - 1; at >= this.#at; at--) {
      const next = (rest / 10) | 0;
      bytes[at] = ZERO + rest - next * 10;
      rest = next;
    }
    this.#at += length;
  }

  #putText(text: string): void {
    this.#at += this.#bytes.write(text, this.#at, 'latin1');
  }
}
