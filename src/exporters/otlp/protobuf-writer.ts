/**
 * Writes protobuf's wire format into one growing buffer that is used again for the next message. Only what OTLP needs:
 * varints up to 2^53, fixed64, doubles, strings and nested messages whose length is filled in at their end.
 */

/** Of a nested message's length. 127 bytes need one, 16,383 two: most of ours are between, so two are kept free. */
const RESERVED_LENGTH = 2;
const TWO_32 = 4_294_967_296;
const ZERO = 0x30;
const INITIAL_SIZE = 64 * 1024;

export const WIRE_VARINT = 0;
export const WIRE_FIXED64 = 1;
export const WIRE_BYTES = 2;

/** A field's key. All field numbers of OTLP are below 16, so that it is one byte. */
export const tag = (field: number, wireType: number): number => (field << 3) | wireType;

/** Bytes of a varint; whole values from 0 to 2^53. */
export function varintLength(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  let length = 3;
  for (let rest = value / 0x20_0000; rest >= 1; rest /= 128) length++;
  return length;
}

/** Digits of a whole number from 0 to 2^53. */
export function decimalLength(value: number): number {
  let length = 1;
  for (let bound = 10; value >= bound; bound *= 10) length++;
  return length;
}

/** Bytes kept as little-endian words. The last one may hold more than `length` asks for: what is written next covers it. */
export interface Words {
  readonly words: Uint32Array;
  readonly length: number;
}

export function toWords(bytes: Buffer): Words {
  const padded = Buffer.alloc(Math.ceil(bytes.length / 4) * 4);
  bytes.copy(padded);
  const words = new Uint32Array(padded.length / 4);
  for (let i = 0; i < words.length; i++) words[i] = padded.readUInt32LE(i * 4);
  return { words, length: bytes.length };
}

export class ProtobufWriter {
  #bytes: Buffer;
  #view: DataView;
  #length = 0;

  constructor(initialSize = INITIAL_SIZE) {
    this.#bytes = Buffer.allocUnsafeSlow(initialSize);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  /** A copy of what has been written. */
  copy(): Buffer {
    const copy = Buffer.allocUnsafeSlow(this.#length);
    this.#bytes.copy(copy, 0, 0, this.#length);
    return copy;
  }

  /** What has been written from `start` on, in place: the next write may change it. */
  view(start: number): Buffer {
    return this.#bytes.subarray(start, this.#length);
  }

  /** Leaves `size` bytes as they are, to be written later through a view. */
  skip(size: number): void {
    this.#reserve(size);
    this.#length += size;
  }

  /** Forgets what lies behind `length`; the memory stays for what comes next. */
  truncate(length: number): void {
    this.#length = length;
  }

  /** Makes room for `size` more bytes. Every write below asks for itself. */
  #reserve(size: number): void {
    const needed = this.#length + size;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  /** Whole values from 0 to 2^53. */
  varint(value: number): void {
    this.#reserve(8);
    const bytes = this.#bytes;
    let at = this.#length;
    let rest = value;
    while (rest >= TWO_32) {
      bytes[at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    let low = rest >>> 0;
    while (low > 0x7f) {
      bytes[at++] = (low & 0x7f) | 0x80;
      low >>>= 7;
    }
    bytes[at++] = low;
    this.#length = at;
  }

  /** A time as nanoseconds since the epoch. 10^9 = 1,953,125 · 2^9, so every step stays below 2^53. */
  timeNanos(seconds: number, nanos: number): void {
    const scaled = seconds * 1_953_125;
    let high = Math.floor(scaled / 8_388_608);
    let low = (scaled % 8_388_608) * 512 + nanos;
    if (low >= TWO_32) {
      low -= TWO_32;
      high++;
    }
    this.#reserve(8);
    this.#view.setUint32(this.#length, low, true);
    this.#view.setUint32(this.#length + 4, high, true);
    this.#length += 8;
  }

  double(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** The same for few bytes, without the call into native code: four bytes a store. */
  words({ words, length }: Words): void {
    this.#reserve(words.length * 4);
    const view = this.#view;
    let at = this.#length;
    for (let i = 0; i < words.length; i++, at += 4) view.setUint32(at, words[i]!, true);
    this.#length += length;
  }

  /** Text as UTF-8 behind its length. */
  string(value: string): void {
    this.varint(Buffer.byteLength(value, 'utf8'));
    this.text(value);
  }

  /** Text as UTF-8 alone. A lone surrogate becomes U+FFFD, as everywhere in UTF-8. */
  text(value: string): void {
    this.#reserve(value.length * 3);
    this.#length += this.#bytes.write(value, this.#length, 'utf8');
  }

  /** The same in JavaScript, faster for short text, if it is ASCII; otherwise writes nothing and returns false. */
  ascii(value: string): boolean {
    const length = value.length;
    this.#reserve(length);
    const bytes = this.#bytes;
    let at = this.#length;
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) return false;
      bytes[at++] = code;
    }
    this.#length = at;
    return true;
  }

  /** A whole number from 0 to 2^53 in decimal; `length` is its decimalLength. */
  digits(value: number, length: number): void {
    this.#reserve(length);
    const bytes = this.#bytes;
    const start = this.#length;
    let at = start + length;
    this.#length = at;
    let rest = value;
    // Nine digits at a time are integer arithmetic; the quotient of two whole doubles is never rounded up to a whole one.
    while (at - start > 9) {
      const above = Math.floor(rest / 1e9);
      let low = (rest - above * 1e9) | 0;
      for (let i = 0; i < 9; i++) {
        const tenth = (low / 10) | 0;
        bytes[--at] = ZERO + low - tenth * 10;
        low = tenth;
      }
      rest = above;
    }
    for (let low = rest | 0; at > start; ) {
      const tenth = (low / 10) | 0;
      bytes[--at] = ZERO + low - tenth * 10;
      low = tenth;
    }
  }

  /** Opens a nested message (its tag is written already); give the result to `end`. */
  begin(): number {
    this.#reserve(RESERVED_LENGTH);
    this.#length += RESERVED_LENGTH;
    return this.#length;
  }

  /** Closes the message that `begin` opened: writes its length, and moves it where that takes other than the bytes kept free. */
  end(start: number): void {
    const size = this.#length - start;
    const shift = varintLength(size) - RESERVED_LENGTH;
    // Before the length goes back: growing keeps only what lies below it.
    this.#reserve(8);
    if (shift !== 0) this.#bytes.copyWithin(start + shift, start, this.#length);
    this.#length = start - RESERVED_LENGTH;
    this.varint(size);
    this.#length += size;
  }
}
