import fc from 'fast-check';
import { expect, test } from 'vitest';
import { commText, TextCache } from '../../src/receiver/text-cache.ts';

const ENTRY = 16;

const bytes16 = fc.uint8Array({ minLength: ENTRY, maxLength: ENTRY });

test('a text is what its bytes say, whatever was asked for before', () => {
  /* few distinct values: hits, and values that meet in one place of the cache */
  const sequence = fc
    .array(bytes16, { minLength: 1, maxLength: 30 })
    .chain((values) => fc.tuple(fc.constant(values), fc.array(fc.nat(values.length - 1), { maxLength: 200 })));
  const cache = new TextCache((bytes, at) => bytes.toString('hex', at, at + ENTRY));
  fc.assert(
    fc.property(sequence, ([values, asked]) => {
      const memory = Buffer.from(new ArrayBuffer(ENTRY * values.length));
      values.forEach((value, i) => {
        memory.set(value, ENTRY * i);
      });
      const words = new Uint32Array(memory.buffer);
      for (const i of asked) {
        expect(cache.get(words, memory, ENTRY * i)).toBe(Buffer.from(values[i]!).toString('hex'));
      }
    }),
  );
});

test('a text is made once while its place is its own', () => {
  let made = 0;
  const cache = new TextCache(() => `text ${++made}`);
  const memory = Buffer.from(new ArrayBuffer(2 * ENTRY));
  const words = new Uint32Array(memory.buffer);
  memory[ENTRY] = 1;
  for (let round = 0; round < 3; round++) {
    expect(cache.get(words, memory, 0)).toBe('text 1');
    expect(cache.get(words, memory, ENTRY)).toBe('text 2');
  }
});

test('thousands of values, more than there are places', () => {
  const count = 5000;
  const memory = Buffer.from(new ArrayBuffer(ENTRY * count));
  for (let i = 0; i < count; i++) memory.writeUInt32LE(i, ENTRY * i + 12);
  const words = new Uint32Array(memory.buffer);
  const cache = new TextCache((bytes, at) => String(bytes.readUInt32LE(at + 12)));
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < count; i++) expect(cache.get(words, memory, ENTRY * i)).toBe(String(i));
  }
});

test.for([
  ['', ''],
  ['curl', 'curl'],
  ['exactly-sixteen!', 'exactly-sixteen!'],
  ['käse', 'käse'],
  ['日本語サー', '日本語サー'],
])('comm %j', ([text, expected]) => {
  const bytes = Buffer.alloc(48, 0x78);
  bytes.fill(0, 16, 32);
  bytes.write(text!, 16);
  expect(commText(bytes, 16)).toBe(expected);
});

test('a comm that the kernel cut inside of a character is still a text', () => {
  const bytes = Buffer.alloc(16);
  Buffer.from('aaaaaaaaaaaaaaé').copy(bytes, 0, 0, 15);
  expect(commText(bytes, 0)).toBe('aaaaaaaaaaaaaa\ufffd');
});
