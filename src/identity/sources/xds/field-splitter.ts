/**
 * The fields of a message that arrives in pieces. A field that lies within a piece is given in place; one that goes over
 * the edge of a piece, or of several, is put together first. Only fields with a length are given (texts, messages):
 * numbers at the top level say nothing that is needed.
 */
import { MalformedMessage } from './protobuf-reader.ts';

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

/** A field's value: `bytes[start, end)`, valid until the next is asked for. */
export interface SplitField {
  number: number;
  bytes: Buffer;
  start: number;
  end: number;
}

export class FieldSplitter {
  readonly #field: SplitField = { number: 0, bytes: Buffer.alloc(0), start: 0, end: 0 };
  /** The beginning of a field whose end has not come. */
  #held: Buffer[] = [];
  #heldLength = 0;
  /** How long it must be before it is looked at again. */
  #needed = 0;
  #at = 0;

  /** @throws MalformedMessage */
  *push(piece: Buffer): IterableIterator<SplitField> {
    let bytes = piece;
    if (this.#heldLength > 0) {
      if (this.#heldLength + piece.length < this.#needed) {
        this.#hold(piece);
        return;
      }
      bytes = Buffer.concat([...this.#held, piece]);
      this.#held = [];
      this.#heldLength = 0;
    }
    let begin = 0;
    while (begin < bytes.length) {
      const end = this.#fieldEnd(bytes, begin);
      if (end > bytes.length) {
        this.#needed = end - begin;
        this.#hold(bytes.subarray(begin));
        return;
      }
      begin = end;
      if (this.#field.number !== 0) yield this.#field;
    }
  }

  /** @throws MalformedMessage if the message has broken off within a field. */
  finish(): void {
    if (this.#heldLength > 0) throw new MalformedMessage('the message ends within a field');
  }

  /** Keeps a copy: the piece is only lent. */
  #hold(piece: Buffer): void {
    this.#held.push(Buffer.from(piece));
    this.#heldLength += piece.length;
  }

  /**
   * Where the field that begins at `begin` ends; beyond the bytes there are, if it is not there in full (one byte beyond
   * where its length is not known yet). Sets `#field`, with the number 0 for one that is read over.
   */
  #fieldEnd(bytes: Buffer, begin: number): number {
    this.#at = begin;
    const key = this.#varint(bytes);
    if (key === undefined) return bytes.length + 1;
    const field = this.#field;
    field.number = 0;
    switch (key % 8) {
      case VARINT:
        return this.#varint(bytes) === undefined ? bytes.length + 1 : this.#at;
      case FIXED64:
        return this.#at + 8;
      case FIXED32:
        return this.#at + 4;
      case LENGTH: {
        const length = this.#varint(bytes);
        if (length === undefined) return bytes.length + 1;
        field.number = Math.floor(key / 8);
        field.bytes = bytes;
        field.start = this.#at;
        field.end = this.#at + length;
        return field.end;
      }
      default:
        throw new MalformedMessage(`wire type ${key % 8}, which these messages do not use`);
    }
  }

  /** undefined if the bytes end within it. */
  #varint(bytes: Buffer): number | undefined {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 10; count++) {
      const byte = bytes[this.#at];
      if (byte === undefined) return undefined;
      this.#at++;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw new MalformedMessage('a number has more than ten bytes');
  }
}
