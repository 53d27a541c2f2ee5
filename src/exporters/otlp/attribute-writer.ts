/**
 * Writes fields as OTLP attributes (`repeated KeyValue`). All that stands before a value, from the field's tag to the
 * value's length, follows from the name and the value's size: it is encoded once for each of these and kept.
 *
 * KeyValue { key = 1; value = 2 }, AnyValue { string_value = 1; int_value = 3; double_value = 4 }
 */
import type { FieldSink } from '../../semconv/log-record.ts';
import {
  decimalLength,
  ProtobufWriter,
  tag,
  toWords,
  varintLength,
  WIRE_BYTES,
  WIRE_FIXED64,
  WIRE_VARINT,
  type Words,
} from './protobuf-writer.ts';

const STRING_VALUE = tag(1, WIRE_BYTES);
const INT_VALUE = tag(3, WIRE_VARINT);
const DOUBLE_VALUE = tag(4, WIRE_FIXED64);

/** Longer text is rare and not worth keeping an opening for. */
const LONGEST_SHORT = 125;

interface Opening {
  readonly name: string;
  readonly size: number;
  readonly words: Words;
  /** What followed it last time: records have the same fields in the same order, most in the same sizes. */
  next: Opening | undefined;
}

export class AttributeWriter implements FieldSink {
  readonly #writer: ProtobufWriter;
  readonly #field: number;
  /** name → openings by the size of the value. Names come from semconv, each with one type, so there are few. */
  readonly #openings = new Map<string, (Opening | undefined)[]>();
  #last: Opening = { name: '', size: 0, words: toWords(Buffer.alloc(0)), next: undefined };

  /** `field`: the number of the attributes in the message that is being written. */
  constructor(writer: ProtobufWriter, field: number) {
    this.#writer = writer;
    this.#field = tag(field, WIRE_BYTES);
  }

  string(name: string, value: string): void {
    const writer = this.#writer;
    if (value.length <= LONGEST_SHORT) {
      const start = writer.length;
      writer.words(this.#opening(name, STRING_VALUE, value.length));
      if (writer.ascii(value)) return;
      writer.truncate(start);
    }
    writer.raw(this.#encodeOpening(name, STRING_VALUE, Buffer.byteLength(value, 'utf8')));
    writer.text(value);
  }

  int(name: string, value: number): void {
    this.#writer.words(this.#opening(name, INT_VALUE, varintLength(value)));
    this.#writer.varint(value);
  }

  double(name: string, value: number): void {
    this.#writer.words(this.#opening(name, DOUBLE_VALUE, 8));
    this.#writer.double(value);
  }

  /** An attribute of text that is `stem` and a whole number. */
  numbered(name: string, stem: string): NumberedAttribute {
    const size = Buffer.byteLength(stem, 'utf8');
    return new NumberedAttribute(this.#writer, (digits) =>
      toWords(Buffer.concat([this.#encodeOpening(name, STRING_VALUE, size + digits), Buffer.from(stem, 'utf8')])),
    );
  }

  #opening(name: string, type: number, size: number): Words {
    const expected = this.#last.next;
    const opening =
      expected !== undefined && expected.name === name && expected.size === size
        ? expected
        : this.#lookUp(name, type, size);
    this.#last = opening;
    return opening.words;
  }

  #lookUp(name: string, type: number, size: number): Opening {
    const bySize = this.#openings.get(name) ?? new Array<Opening | undefined>(LONGEST_SHORT + 1).fill(undefined);
    const opening = bySize[size] ?? {
      name,
      size,
      words: toWords(this.#encodeOpening(name, type, size)),
      next: undefined,
    };
    bySize[size] = opening;
    this.#openings.set(name, bySize);
    this.#last.next = opening;
    return opening;
  }

  /** `size`: bytes of the value alone, without its tag and (of a string) length. */
  #encodeOpening(name: string, type: number, size: number): Buffer {
    const anyValue = 1 + (type === STRING_VALUE ? varintLength(size) : 0) + size;
    const key = Buffer.byteLength(name, 'utf8');
    const keyValue = 1 + varintLength(key) + key + 1 + varintLength(anyValue) + anyValue;
    const writer = new ProtobufWriter(key + 32);
    writer.byte(this.#field);
    writer.varint(keyValue);
    writer.byte(tag(1, WIRE_BYTES));
    writer.string(name);
    writer.byte(tag(2, WIRE_BYTES));
    writer.varint(anyValue);
    writer.byte(type);
    if (type === STRING_VALUE) writer.varint(size);
    return writer.copy();
  }
}

/** Text that ends in a number: what stands before the number is kept by how many digits that has, and no string is made. */
export class NumberedAttribute {
  readonly #writer: ProtobufWriter;
  readonly #encodeStem: (digits: number) => Words;
  readonly #stems: (Words | undefined)[] = [];

  constructor(writer: ProtobufWriter, encodeStem: (digits: number) => Words) {
    this.#writer = writer;
    this.#encodeStem = encodeStem;
  }

  /** `value`: whole, from 0 to 2^53. */
  write(value: number): void {
    const digits = decimalLength(value);
    let stem = this.#stems[digits];
    if (stem === undefined) {
      stem = this.#encodeStem(digits);
      while (this.#stems.length <= digits) this.#stems.push(undefined);
      this.#stems[digits] = stem;
    }
    this.#writer.words(stem);
    this.#writer.digits(value, digits);
  }
}
