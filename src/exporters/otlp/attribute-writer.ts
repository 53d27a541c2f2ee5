/**
 * Writes fields as OTLP attributes (`repeated KeyValue`). All that stands before a value, from the field's tag to the
 * value's length, follows from the name and the value's size: it is encoded once for each of these and kept.
 *
 * KeyValue { key = 1; value = 2 }, AnyValue { string_value = 1; int_value = 3; double_value = 4 }
 */
import type { FieldSink } from '../../semconv/log-record.ts';
import {
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

export class AttributeWriter implements FieldSink {
  readonly #writer: ProtobufWriter;
  readonly #field: number;
  /** name → openings by the size of the value. Names come from semconv, each with one type, so there are few. */
  readonly #openings = new Map<string, (Words | undefined)[]>();

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

  #opening(name: string, type: number, size: number): Words {
    const openings = this.#openings.get(name);
    const known = openings?.[size];
    if (known !== undefined) return known;
    const opening = toWords(this.#encodeOpening(name, type, size));
    const bySize = openings ?? new Array<Words | undefined>(LONGEST_SHORT + 1).fill(undefined);
    bySize[size] = opening;
    this.#openings.set(name, bySize);
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
