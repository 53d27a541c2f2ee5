/**
 * Writes messages into one buffer that grows. A nested message is written by a writer of its own, which can be cleared
 * and used again, and put in as bytes.
 */

const VARINT = 0;
const LENGTH = 2;

export class ProtobufWriter {
  #bytes = Buffer.allocUnsafe(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Left out when it is 0, as protobuf's defaults are. */
  number(field: number, value: number): this {
    if (value === 0) return this;
    this.#reserve(20);
    this.#varint(field * 8 + VARINT);
    this.#varint(value);
    return this;
  }

  /** Left out when it is empty. */
  text(field: number, value: string): this {
    return value === '' ? this : this.#text(field, value);
  }

  /** Each is written, an empty one too. */
  texts(field: number, values: Iterable<string>): this {
    for (const value of values) this.#text(field, value);
    return this;
  }

  /** A nested message, or bytes: written even when empty. */
  bytes(field: number, value: Buffer): this {
    this.#reserve(value.length + 20);
    this.#varint(field * 8 + LENGTH);
    this.#varint(value.length);
    this.#length += value.copy(this.#bytes, this.#length);
    return this;
  }

  /** The message: valid until something else is written. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): this {
    this.#length = 0;
    return this;
  }

  #text(field: number, value: string): this {
    const size = Buffer.byteLength(value);
    this.#reserve(size + 20);
    this.#varint(field * 8 + LENGTH);
    this.#varint(size);
    this.#length += this.#bytes.write(value, this.#length);
    return this;
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#length + size));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.#bytes[this.#length++] = (rest % 128) | 128;
    this.#bytes[this.#length++] = rest;
  }
}
