import fc from 'fast-check';
import { expect, it } from 'vitest';
import { PARTS, partOf, WideMap } from '../../src/identity/wide-map.ts';
import { addressOf } from '../../src/semconv/address.ts';

const step = fc.record({
  key: fc.oneof(fc.string({ maxLength: 5 }), fc.integer({ min: -5, max: 5 })),
  value: fc.option(fc.nat(9)),
});

it('does as a Map does, but for the order of its keys', () => {
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const map = new Map<string | number, number>();
      const wide = new WideMap<string | number, number>();
      for (const { key, value } of steps) {
        if (value === null) expect(wide.delete(key)).toBe(map.delete(key));
        else {
          map.set(key, value);
          wide.set(key, value);
        }
        expect(wide.size).toBe(map.size);
      }
      expect(sorted(wide.keys())).toEqual(sorted(map.keys()));
      for (const { key } of steps) expect([wide.has(key), wide.get(key)]).toEqual([map.has(key), map.get(key)]);
    }),
  );
});

/** A number is not the text of it, in a sort by text either. */
const sorted = (keys: Iterable<string | number>) => Array.from(keys, (key) => JSON.stringify(key)).sort();

const TENS_OF_THOUSANDS = Array.from({ length: 30_000 }, (_, i) => i);

it.each([
  ['addresses', (i: number) => addressOf(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)],
  ['IPv6 addresses', (i: number) => `fd00:10::${i.toString(16)}`],
  ['uids of pods', (i: number) => `0b5e7a4c-95f1-4d4c-8f3e-${(i * 7_919).toString(16).padStart(12, '0')}`],
  ['uids of workloads', (i: number) => `Kubernetes//Pod/shop/web-5d4f8c7b9-${i.toString(36).padStart(5, 'x')}`],
  ['uids by naming and address', (i: number) => `web-v1;shop;web;v1;Kubernetes 10.0.${i >> 8}.${i & 255}`],
])('%s are spread over its parts', (_, key) => {
  const sizes = new Array<number>(PARTS).fill(0);
  for (const i of TENS_OF_THOUSANDS) sizes[partOf(key(i))]!++;
  expect(Math.max(...sizes)).toBeLessThan((2 * TENS_OF_THOUSANDS.length) / PARTS);
});
