import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { decimalLength, ProtobufWriter, toWords, varintLength } from '../../../src/exporters/otlp/protobuf-writer.ts';

const whole = fc.oneof(fc.maxSafeNat(), fc.nat(), fc.constantFrom(0, 127, 128, 2 ** 32 - 1, 2 ** 32, 2 ** 53));

describe('ProtobufWriter', () => {
  it('writes varints as protobufjs does, in the length it foretells', () => {
    fc.assert(
      fc.property(whole, (value) => {
        const writer = new ProtobufWriter(1);
        writer.varint(value);
        expect(writer.copy()).toEqual(Buffer.from(protobuf.Writer.create().uint64(value).finish()));
        expect(varintLength(value)).toBe(writer.length);
      }),
    );
  });

  it('writes times to the nanosecond, beyond what a double holds', () => {
    fc.assert(
      fc.property(fc.nat({ max: 4_000_000_000 }), fc.nat({ max: 999_999_999 }), (seconds, nanos) => {
        const writer = new ProtobufWriter(1);
        writer.timeNanos(seconds, nanos);
        expect(writer.copy().readBigUInt64LE()).toBe(BigInt(seconds) * 1_000_000_000n + BigInt(nanos));
      }),
    );
  });

  it('writes any text as TextEncoder does', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const writer = new ProtobufWriter(1);
        writer.string(text);
        const utf8 = new TextEncoder().encode(text);
        expect(writer.copy()).toEqual(Buffer.from(protobuf.Writer.create().bytes(utf8).finish()));
      }),
    );
  });

  it('writes nothing of text that is not ASCII where only ASCII is taken', () => {
    const writer = new ProtobufWriter(1);
    expect(writer.ascii('naïve')).toBe(false);
    expect(writer.length).toBe(0);
    expect(writer.ascii('naive')).toBe(true);
    expect(writer.copy().toString()).toBe('naive');
  });

  it('fills in the length of a nested message whatever room it needs', () => {
    for (const size of [0, 1, 127, 128, 16_383, 16_384, 3_000_000]) {
      const content = Buffer.alloc(size, 0x5a);
      const writer = new ProtobufWriter(1);
      writer.byte(0x0a);
      const start = writer.begin();
      writer.raw(content);
      writer.end(start);
      writer.byte(0x7f);
      const length = Buffer.from(protobuf.Writer.create().uint32(size).finish());
      expect(writer.copy().equals(Buffer.concat([Buffer.from([0x0a]), length, content, Buffer.from([0x7f])]))).toBe(
        true,
      );
    }
  });

  it('writes kept words byte for byte, and no byte too many', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const writer = new ProtobufWriter(1);
        writer.words(toWords(Buffer.from(bytes)));
        writer.byte(0xff);
        expect(writer.copy()).toEqual(Buffer.from([...bytes, 0xff]));
      }),
    );
  });

  it('writes whole numbers in decimal as String does, in the length it foretells', () => {
    const powers = Array.from({ length: 16 }, (_, i) => [10 ** i - 1, 10 ** i, 9 * 10 ** i - 1]).flat();
    fc.assert(
      fc.property(fc.oneof(whole, fc.constantFrom(...powers)), (value) => {
        const writer = new ProtobufWriter(1);
        writer.digits(value, decimalLength(value));
        writer.byte(0x21);
        expect(writer.copy().toString()).toBe(`${value}!`);
      }),
    );
    for (const value of powers) expect(decimalLength(value)).toBe(String(value).length);
  });

  it('shows what has been written in place, with what is put into the room left free', () => {
    const writer = new ProtobufWriter(1);
    writer.skip(4);
    writer.raw(Buffer.from('abc'));
    const view = writer.view(2);
    view.set(Buffer.from('12'));
    expect(view.toString()).toBe('12abc');
  });

  it('forgets what was truncated', () => {
    const writer = new ProtobufWriter(4);
    writer.raw(Buffer.from('abcdef'));
    writer.truncate(2);
    writer.byte(0x21);
    expect(writer.copy().toString()).toBe('ab!');
  });
});
