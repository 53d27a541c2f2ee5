import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MalformedMessage, ProtobufReader } from '../../../../src/identity/sources/xds/protobuf-reader.ts';
import { encode } from './support/protobuf.ts';

interface Sample {
  small: number;
  large: number;
  text: string;
  blob: Buffer;
  inner?: Sample | undefined;
  many: Sample[];
  flag: boolean;
}

const flat = {
  small: fc.nat(0xffffffff),
  large: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  text: fc.string({ unit: 'grapheme', maxLength: 40 }),
  blob: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  flag: fc.boolean(),
  // Passed over by the reader below.
  four: fc.nat(),
  eight: fc.nat(),
  negative: fc.integer({ max: -1 }),
};

/** Messages within messages, so deep. */
function samples(depth: number): fc.Arbitrary<Sample> {
  if (depth === 0) return fc.record({ ...flat, many: fc.constant([]) });
  const inner = samples(depth - 1);
  return fc.record({ ...flat, inner: fc.option(inner, { nil: undefined }), many: fc.array(inner, { maxLength: 3 }) });
}

const sample = samples(2);

/** Reads what it knows and passes over the rest: fixed-width fields and the negative number. */
function read(reader: ProtobufReader): Sample {
  const result: Sample = { small: 0, large: 0, text: '', blob: Buffer.alloc(0), many: [], flag: false };
  while (reader.next()) {
    if (reader.field === 1) result.small = reader.number();
    else if (reader.field === 2) result.large = reader.number();
    else if (reader.field === 3) result.text = reader.text();
    else if (reader.field === 4) result.blob = reader.bytes();
    else if (reader.field === 7) result.inner = nested(reader);
    else if (reader.field === 8) result.many.push(nested(reader));
    else if (reader.field === 9) result.flag = reader.boolean();
  }
  return result;
}

function nested(reader: ProtobufReader): Sample {
  const outer = reader.enter();
  const inner = read(reader);
  reader.leave(outer);
  return inner;
}

function known(value: Sample): Sample {
  const { small, large, text, blob, inner, many, flag } = value;
  return { small, large, text, blob, flag, many: many.map(known), ...(inner ? { inner: known(inner) } : {}) };
}

/** What a reader makes of the bytes, or that it refuses them. */
function outcome(bytes: Buffer): Sample | 'malformed' {
  try {
    return read(new ProtobufReader(bytes));
  } catch (error) {
    expect(error).toBeInstanceOf(MalformedMessage);
    return 'malformed';
  }
}

describe('ProtobufReader', () => {
  it('reads what protobufjs writes', () => {
    fc.assert(
      fc.property(sample, (value) => {
        expect(outcome(encode('Sampler', value))).toEqual(known(value));
      }),
    );
  });

  it('stays within the bytes given, wherever they lie', () => {
    fc.assert(
      fc.property(sample, fc.uint8Array({ maxLength: 9 }), fc.uint8Array({ maxLength: 9 }), (value, before, after) => {
        const message = encode('Sampler', value);
        const reader = new ProtobufReader(
          Buffer.concat([before, message, after]),
          before.length,
          before.length + message.length,
        );
        expect(read(reader)).toEqual(known(value));
      }),
    );
  });

  it('leaves a message half read, and goes on behind it', () => {
    const reader = new ProtobufReader(
      encode('Sampler', { inner: { small: 1, text: 'inside', many: [{}, {}] }, flag: true }),
    );
    reader.next();
    const outer = reader.enter();
    expect(reader.next() && reader.number()).toBe(1);
    expect(reader.next()).toBe(true);
    reader.leave(outer);
    expect(reader.next() && reader.boolean()).toBe(true);
    expect(reader.next()).toBe(false);
  });

  it('refuses or reads whatever is cut off or changed, and nothing else happens', () => {
    fc.assert(
      fc.property(
        sample,
        fc.nat(),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
        (value, cut, changes) => {
          const bytes = encode('Sampler', value);
          for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte;
          outcome(bytes.subarray(0, cut % (bytes.length + 1)));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ['a number that breaks off', [0x08, 0x80], 'ends within a number'],
    ['a number without end', [0x08, ...new Array(11).fill(0xff)], 'more than ten bytes'],
    ['a text beyond the end', [0x1a, 5, 65], 'said to be 5 bytes long, 1 are left'],
    ['a message beyond its own message', [0x3a, 2, 0x1a, 1, 65], 'said to be 1 bytes long, 0 are left'],
    ['a fixed field that breaks off', [0x2d, 1, 2], 'ends within field 5'],
    ['a group', [0x0b, 0x0c], 'wire type 3'],
    ['the field number 0', [0x00, 1], 'field number 0'],
    ['a text where a number is', [0x0a, 1, 65], 'has wire type 2, 0 is its own'],
  ])('says what is wrong with %s', (_name, bytes, message) => {
    expect(() => read(new ProtobufReader(Buffer.from(bytes)))).toThrow(message);
  });

  it('compares a text in place', () => {
    const bytes = encode('Sampler', { text: 'istio' });
    const is = (text: string) => {
      const reader = new ProtobufReader(bytes);
      reader.next();
      return reader.is(Buffer.from(text));
    };
    expect([is('istio'), is('istia'), is('isti'), is('')]).toEqual([true, false, false, false]);
  });
});
