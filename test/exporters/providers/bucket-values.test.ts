import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { recordBuckets } from '../../../src/exporters/providers/bucket-values.ts';
import { PAIR_HISTOGRAMS } from '../../../src/semconv/pair-fields.ts';

const BOUNDS = PAIR_HISTOGRAMS[0].bounds;

const bucketOf = (value: number): number => {
  const found = BOUNDS.findIndex((bound) => value <= bound);
  return found === -1 ? BOUNDS.length : found;
};

function counted(values: readonly number[]): Float64Array {
  const counts = new Float64Array(BOUNDS.length + 1);
  for (const value of values) counts[bucketOf(value)]! += 1;
  return counts;
}

/** Whole nanoseconds, often on a bound or next to it, as the kernel counts them; in seconds. */
const value = fc
  .oneof(
    fc.constantFrom(...BOUNDS).map((bound) => Math.round(bound * 1e9)),
    fc.constantFrom(...BOUNDS).map((bound) => Math.round(bound * 1e9) + 1),
    fc.integer({ min: 1, max: 10_000_000 }),
    fc.integer({ min: 1, max: 10_000 }).map((seconds) => seconds * 1e9),
  )
  .map((ns) => ns / 1e9);

function record(counts: Float64Array, sum: number): { values: number[]; left: number } {
  const values: number[] = [];
  const left = recordBuckets({ bounds: BOUNDS, counts, at: 0 }, sum, (v) => values.push(v));
  return { values, left };
}

const total = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0);

describe('values made up for buckets', () => {
  it('fall into the same buckets and add up to the same sum', () => {
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 50 }), (real) => {
        const sum = total(real);
        const { values, left } = record(counted(real), sum);
        expect(counted(values)).toEqual(counted(real));
        // Values next to a bound can be told apart from it by a millionth of the bucket's width only.
        expect(Math.abs(total(values) - sum) / sum).toBeLessThan(1e-5);
        expect(Math.abs(total(values) + left - sum) / sum).toBeLessThan(1e-12);
      }),
      { numRuns: 1000 },
    );
  });

  it('are exact to the rounding when the sum is well inside what the counts allow', () => {
    const inside = fc.integer({ min: 0, max: BOUNDS.length }).chain((i) => {
      const low = i === 0 ? 0 : BOUNDS[i - 1]!;
      const high = BOUNDS[i] ?? 2 * low;
      return fc.double({ min: 0.1, max: 0.9, noNaN: true }).map((place) => low + (high - low) * place);
    });
    fc.assert(
      fc.property(fc.array(inside, { minLength: 1, maxLength: 50 }), (real) => {
        const sum = total(real);
        const { values, left } = record(counted(real), sum);
        expect(Math.abs(left) / sum).toBeLessThan(1e-12);
        expect(Math.abs(total(values) - sum) / sum).toBeLessThan(1e-12);
      }),
    );
  });

  it('give back the part of a sum that has no counts yet, and take it up later', () => {
    const none = record(counted([]), 0.25);
    expect(none).toEqual({ values: [], left: 0.25 });
    const later = record(counted([0.25]), none.left);
    expect(later.values).toEqual([0.25]);
    expect(later.left).toBe(0);
  });

  it('stay in their bucket when the sum is too small or too large for the counts', () => {
    const small = record(counted([0.25, 5000]), 0);
    expect(counted(small.values)).toEqual(counted([0.25, 5000]));
    expect(small.left).toBeCloseTo(-total(small.values), 9);
    const large = record(counted([0.25, 0.25]), 100);
    expect(large.values).toEqual([0.5, 0.5]);
    expect(large.left).toBe(99);
  });
});
