import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openRing, type Ring } from '../../src/receiver/ring.ts';
import { FakeRing } from './fake-ring.ts';

const text = (length: number, seed: number) => Buffer.alloc(length, seed);

/** The records that are waiting, as bytes of the given length. */
function drain(ring: Ring, length: number, limit = Number.POSITIVE_INFINITY): Buffer[] {
  const records: Buffer[] = [];
  ring.drain((at) => records.push(Buffer.from(ring.memory.slice(at, at + length))), limit);
  return records;
}

test('an empty ring has nothing and is not full', () => {
  const memory = new FakeRing(4096);
  const ring = openRing(memory);
  expect(drain(ring, 8)).toEqual([]);
  expect(ring.fill()).toBe(0);
});

test('records come oldest first, and their room is given back', () => {
  const memory = new FakeRing(4096);
  const ring = openRing(memory);
  for (const seed of [1, 2, 3]) memory.write(text(144, seed));
  expect(ring.fill()).toBeCloseTo((3 * 152) / 4096);
  expect(drain(ring, 144)).toEqual([1, 2, 3].map((seed) => text(144, seed)));
  expect(memory.consumed).toBe(memory.produced);
  expect(ring.fill()).toBe(0);
});

test('a limit leaves the rest for the next time', () => {
  const memory = new FakeRing(4096);
  const ring = openRing(memory);
  for (const seed of [1, 2, 3]) memory.write(text(16, seed));
  expect(drain(ring, 16, 2)).toEqual([text(16, 1), text(16, 2)]);
  expect(ring.drain(() => {}, 2)).toBe(1);
});

test('discarded records are passed over and do not count', () => {
  const memory = new FakeRing(4096);
  const ring = openRing(memory);
  memory.write(text(16, 1), 'discard');
  memory.write(text(16, 2));
  memory.write(text(16, 3), 'discard');
  let visited = 0;
  expect(ring.drain(() => visited++, 10)).toBe(1);
  expect(visited).toBe(1);
  expect(memory.consumed).toBe(memory.produced);
});

test('a record that is still written stops the reader, and what is behind it waits', () => {
  const memory = new FakeRing(4096);
  const ring = openRing(memory);
  memory.write(text(16, 1));
  const busy = memory.reserve(16)!;
  memory.write(text(16, 3));
  expect(drain(ring, 16)).toEqual([text(16, 1)]);
  expect(drain(ring, 16)).toEqual([]);
  expect(memory.consumed).toBe(busy);
  memory.commit(busy, text(16, 2));
  expect(drain(ring, 16)).toEqual([text(16, 2), text(16, 3)]);
});

test('a throw in visit loses that record only and gives its room back', () => {
  const memory = new FakeRing(4096);
  const ring = openRing(memory);
  for (const seed of [1, 2, 3]) memory.write(text(16, seed));
  let visited = 0;
  const visit = () => {
    if (++visited === 2) throw new Error('no');
  };
  expect(() => ring.drain(visit, 10)).toThrow('no');
  expect(drain(ring, 16)).toEqual([text(16, 3)]);
  expect(memory.consumed).toBe(memory.produced);
});

test('a record that wraps is seen in one piece', () => {
  const memory = new FakeRing(4096);
  const ring = openRing(memory);
  /* 26 records of 152 bytes leave 144 bytes before the end: the header fits, the record does not */
  for (let i = 0; i < 26; i++) memory.write(text(144, i));
  drain(ring, 144);
  memory.write(Buffer.from(Array.from({ length: 144 }, (_, i) => i)));
  expect([...drain(ring, 144)[0]!]).toEqual(Array.from({ length: 144 }, (_, i) => i));
});

test('pages may be larger than 4 KiB', () => {
  const memory = new FakeRing(1024 * 1024, 128 * 1024, 0n, 64 * 1024);
  const ring = openRing(memory);
  const wrong: number[] = [];
  for (let round = 0; round < 20_000; round++) {
    const written = text(144, round & 255);
    memory.write(written);
    const [record, ...more] = drain(ring, 144);
    if (!record?.equals(written) || more.length > 0) wrong.push(round);
  }
  expect(wrong).toEqual([]);
  expect(new Set(memory.slides).size).toBeGreaterThan(8);
});

test('the window moves along, on whole pages and never out of the data', () => {
  const memory = new FakeRing(64 * 1024, 8192);
  const ring = openRing(memory);
  for (let round = 0; round < 2000; round++) {
    memory.write(text(144, round & 255));
    expect(drain(ring, 144)).toEqual([text(144, round & 255)]);
  }
  /* twice around, a slide for each page at most; FakeRing refuses a place outside */
  expect(new Set(memory.slides).size).toBeGreaterThan(8);
  expect(memory.slides.length).toBeLessThan((2000 * 152) / 4096 + 2);
});

describe.for([
  { bytes: 4096, window: 8192, from: 0n },
  { bytes: 8192, window: 8192, from: 0n },
  { bytes: 32_768, window: 8192, from: 0n },
  { bytes: 32_768, window: 65_536, from: 0n },
  { bytes: 8192, window: 8192, from: 2n ** 32n - 4096n },
  { bytes: 32_768, window: 12_288, from: 2n ** 45n },
])('a ring of $bytes bytes seen through $window, from position $from', ({ bytes, window, from }) => {
  test('whatever is written is read, once and in order', () => {
    const action = fc.oneof(
      fc.record({ kind: fc.constant('submit' as const), length: fc.integer({ min: 8, max: 600 }) }),
      fc.record({ kind: fc.constant('discard' as const), length: fc.integer({ min: 8, max: 600 }) }),
      fc.record({ kind: fc.constant('drain' as const), length: fc.integer({ min: 1, max: 40 }) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
        const memory = new FakeRing(bytes, window, from);
        const ring = openRing(memory);
        const written: string[] = [];
        const read: string[] = [];
        const lengths: number[] = [];
        const drainSome = (limit: number) =>
          ring.drain((at) => read.push(Buffer.from(ring.memory, at, lengths[read.length]!).toString('hex')), limit);
        actions.forEach(({ kind, length }, i) => {
          if (kind === 'drain') drainSome(length);
          else {
            const record = Buffer.alloc(length);
            for (let byte = 0; byte < length; byte++) record[byte] = (i * 31 + byte) & 255;
            if (memory.write(record, kind) && kind === 'submit') {
              written.push(record.toString('hex'));
              lengths.push(length);
            }
          }
        });
        drainSome(Number.POSITIVE_INFINITY);
        expect(read).toEqual(written);
        expect(memory.consumed).toBe(memory.produced);
      }),
      { numRuns: 100 },
    );
  });
});
