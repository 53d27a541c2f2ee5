/** Writes the small messages that a client sends. Nested messages are written first and put in as bytes. */

const VARINT = 0;
const LENGTH = 2;

export class ProtobufWriter {
  readonly #parts: Buffer[] = [];

  /** Left out when it is 0, as protobuf's defaults are. */
  number(field: number, value: number): this {
    if (value !== 0) this.#parts.push(varint(field * 8 + VARINT), varint(value));
    return this;
  }

  /** Left out when it is empty. */
  text(field: number, value: string): this {
    return value === '' ? this : this.bytes(field, Buffer.from(value));
  }

  texts(field: number, values: Iterable<string>): this {
    for (const value of values) this.bytes(field, Buffer.from(value));
    return this;
  }

  /** A nested message, or bytes: written even when empty. */
  bytes(field: number, value: Buffer): this {
    this.#parts.push(varint(field * 8 + LENGTH), varint(value.length), value);
    return this;
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}
