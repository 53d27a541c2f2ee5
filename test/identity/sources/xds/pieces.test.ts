/** Messages and fields that arrive in pieces. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FieldSplitter } from '../../../../src/identity/sources/xds/field-splitter.ts';
import { BrokenStream, frame, incomingMessages, whole } from '../../../../src/identity/sources/xds/grpc-messages.ts';
import { MalformedMessage } from '../../../../src/identity/sources/xds/protobuf-reader.ts';
import { encode } from './support/protobuf.ts';

/** Cuts the bytes where the sizes say, and the rest as one. */
function* cut(bytes: Buffer, sizes: readonly number[]): IterableIterator<Buffer> {
  let at = 0;
  for (const size of sizes) {
    yield bytes.subarray(at, at + size);
    at += size;
  }
  yield bytes.subarray(at);
}

async function* later<T>(items: Iterable<T>): AsyncIterableIterator<T> {
  yield* items;
}

const sizes = fc.array(fc.nat(40), { maxLength: 60 });
const blobs = fc.array(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  { maxLength: 8 },
);

describe('gRPC messages', () => {
  it('are those that were framed, however the network cuts them', async () => {
    await fc.assert(
      fc.asyncProperty(blobs, sizes, async (messages, cuts) => {
        const chunks = later(cut(Buffer.concat(messages.map(frame)), cuts));
        const read: Buffer[] = [];
        for await (const message of incomingMessages(chunks, 1_000)) read.push(await whole(message));
        expect(read).toEqual(messages);
      }),
    );
  });

  it('may be left unread', async () => {
    const stream = Buffer.concat([frame(Buffer.from('one')), frame(Buffer.from('two')), frame(Buffer.from('three'))]);
    const read: string[] = [];
    for await (const message of incomingMessages(later(cut(stream, [4, 4, 4, 4])), 1_000)) {
      if (message.length === 3) continue;
      read.push(String(await whole(message)));
    }
    expect(read).toEqual(['three']);
  });

  it.each([
    ['breaks off within a message', frame(Buffer.from('text')).subarray(0, 7), 'breaks off'],
    ['breaks off within a header', frame(Buffer.from('text')).subarray(0, 3), 'breaks off'],
    ['is compressed', Buffer.from([1, 0, 0, 0, 0]), 'compressed'],
    ['is too long', Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), 'has 4294967295 bytes'],
  ])('that %s is refused', async (_name, stream, message) => {
    const read = async () => {
      for await (const incoming of incomingMessages(later([stream]), 1_000)) await whole(incoming);
    };
    await expect(read()).rejects.toThrow(BrokenStream);
    await expect(read()).rejects.toThrow(message);
  });
});

describe('FieldSplitter', () => {
  /** Every field with a length that comes out, in order. */
  function split(pieces: Iterable<Buffer>): [number, string][] {
    const fields = new FieldSplitter();
    const found: [number, string][] = [];
    for (const piece of pieces) {
      // What is given is only valid for now: it is overwritten afterwards, as a network's buffer is.
      const lent = Buffer.from(piece);
      for (const { number, bytes, start, end } of fields.push(lent))
        found.push([number, bytes.toString('hex', start, end)]);
      lent.fill(0xee);
    }
    fields.finish();
    return found;
  }

  const message = fc
    .record({
      small: fc.nat(),
      text: fc.string(),
      blob: fc.uint8Array({ maxLength: 500 }),
      four: fc.nat(),
      eight: fc.nat(),
      many: fc.array(fc.record({ text: fc.string() }), { maxLength: 5 }),
    })
    .map((value) => encode('Sampler', { ...value, blob: Buffer.from(value.blob) }));

  it('gives the same fields however the message is cut', () => {
    fc.assert(
      fc.property(message, sizes, (bytes, cuts) => {
        expect(split(cut(bytes, cuts))).toEqual(split([bytes]));
      }),
    );
  });

  it('gives a field that goes over many pieces', () => {
    const bytes = encode('Sampler', { text: 'x'.repeat(10_000), flag: true });
    const expected = [[3, Buffer.from('x'.repeat(10_000)).toString('hex')]];
    expect(split(Array.from(bytes, (byte) => Buffer.from([byte])))).toEqual(expected);
  });

  it('refuses a message that breaks off, or that is none', () => {
    expect(() => split([encode('Sampler', { text: 'abc' }).subarray(0, 3)])).toThrow(MalformedMessage);
    expect(() => split([Buffer.from([0x0b])])).toThrow('wire type 3');
    expect(() => split([Buffer.from(new Array(12).fill(0xff))])).toThrow('more than ten bytes');
  });
});
