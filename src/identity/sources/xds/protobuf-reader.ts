/**
 * Reads protobuf messages in place: a cursor over the bytes that makes no object but the texts it is asked for. Nested
 * messages are entered and left, so one reader serves a whole tree:
 *
 *     const outer = reader.enter();
 *     while (reader.next()) { if (reader.field === 1) … }
 *     reader.leave(outer);
 *
 * A field that is not asked for is passed over by the next call of `next`. What does not hold together (a length beyond
 * the end of its message, a number of more than ten bytes, a group, which no message of these APIs has) is thrown as a
 * MalformedMessage; nothing is read beyond the bytes given.
 */

export class MalformedMessage extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'MalformedMessage';
  }
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

export class ProtobufReader {
  /** Number of the field found by `next`. */
  field = 0;
  #bytes: Buffer;
  #at: number;
  #end: number;
  #wireType = VARINT;
  /** Whether the value of the field found by `next` is still to be read. */
  #unread = false;

  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** Begins anew, with other bytes: a reader can be used for many messages. */
  seek(bytes: Buffer, start: number, end: number): this {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#unread = false;
    return this;
  }

  /** Goes to the next field of this message; false at its end. */
  next(): boolean {
    if (this.#unread) this.#skip();
    if (this.#at >= this.#end) return false;
    const key = this.#varint();
    const field = Math.floor(key / 8);
    if (field === 0 || field > 536_870_911) throw new MalformedMessage(`field number ${field} cannot be`);
    this.field = field;
    this.#wireType = key % 8;
    this.#unread = true;
    return true;
  }

  /** A number: exact below 2^53. A negative one (ten bytes) is beyond that. */
  number(): number {
    this.#expect(VARINT);
    return this.#varint();
  }

  boolean(): boolean {
    return this.number() !== 0;
  }

  text(): string {
    const end = this.#length();
    const text = this.#bytes.toString('utf8', this.#at, end);
    this.#at = end;
    return text;
  }

  /** Whether the text is this one, given as its bytes. */
  is(text: Uint8Array): boolean {
    const end = this.#length();
    const start = this.#at;
    this.#at = end;
    if (end - start !== text.length) return false;
    for (let i = 0; i < text.length; i++) if (this.#bytes[start + i] !== text[i]) return false;
    return true;
  }

  /** The value in place: a view of the message, valid for as long as that is. */
  bytes(): Buffer {
    const end = this.#length();
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }

  /** Calls `read` with the range of the value in the bytes given, and gives what it makes of it. */
  range<T>(read: (bytes: Buffer, start: number, end: number) => T): T {
    const end = this.#length();
    const start = this.#at;
    this.#at = end;
    return read(this.#bytes, start, end);
  }

  /** Goes into the field's message. Returns what `leave` needs to come back. */
  enter(): number {
    const end = this.#length();
    const outer = this.#end;
    this.#end = end;
    return outer;
  }

  /** Goes back to behind the message entered, wherever in it the reader stands. */
  leave(outer: number): void {
    this.#at = this.#end;
    this.#end = outer;
    this.#unread = false;
  }

  #expect(wireType: number): void {
    if (this.#wireType !== wireType) {
      throw new MalformedMessage(`field ${this.field} has wire type ${this.#wireType}, ${wireType} is its own`);
    }
    this.#unread = false;
  }

  /** The end of the field's value, which begins where the reader then stands. */
  #length(): number {
    this.#expect(LENGTH);
    const length = this.#varint();
    const end = this.#at + length;
    if (end > this.#end) {
      throw new MalformedMessage(
        `field ${this.field} is said to be ${length} bytes long, ${this.#end - this.#at} are left`,
      );
    }
    return end;
  }

  #varint(): number {
    const bytes = this.#bytes;
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 10; count++) {
      if (this.#at >= this.#end) throw new MalformedMessage('the message ends within a number');
      const byte = bytes[this.#at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw new MalformedMessage('a number has more than ten bytes');
  }

  #skip(): void {
    this.#unread = false;
    switch (this.#wireType) {
      case VARINT:
        this.#varint();
        return;
      case LENGTH:
        this.#unread = true;
        this.#at = this.#length();
        return;
      case FIXED64:
        this.#advance(8);
        return;
      case FIXED32:
        this.#advance(4);
        return;
      default:
        throw new MalformedMessage(
          `field ${this.field} has wire type ${this.#wireType}, which these messages do not use`,
        );
    }
  }

  #advance(count: number): void {
    this.#at += count;
    if (this.#at > this.#end) throw new MalformedMessage(`the message ends within field ${this.field}`);
  }
}
