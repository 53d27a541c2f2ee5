import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Backoff } from '../../../src/exporters/otlp/backoff.ts';

const CONFIG = { enabled: true, initial_interval: 5000, max_interval: 30_000, max_elapsed_time: 300_000 };
const middle = () => 0.5;

describe('Backoff', () => {
  it('grows by half up to the longest interval', () => {
    const backoff = new Backoff(CONFIG, middle);
    const waits = Array.from({ length: 7 }, () => backoff.next(0));
    expect(waits).toEqual([5000, 7500, 11_250, 16_875, 25_312.5, 30_000, 30_000]);
  });

  it('spreads each wait by half in both directions, never beyond', () => {
    expect(new Backoff(CONFIG, () => 0).next(0)).toBe(2500);
    expect(new Backoff(CONFIG, () => 1).next(0)).toBe(7500);
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (random) => {
        const wait = new Backoff(CONFIG, () => random).next(0)!;
        expect(wait).toBeGreaterThanOrEqual(2500);
        expect(wait).toBeLessThanOrEqual(7500);
      }),
    );
  });

  it('waits at least as long as the peer asks, an hour at most', () => {
    const forever = { ...CONFIG, max_elapsed_time: 0 };
    expect(new Backoff(forever, middle).next(0, 42_000)).toBe(42_000);
    expect(new Backoff(forever, middle).next(0, 1000)).toBe(5000);
    expect(new Backoff(forever, middle).next(0, 1e15)).toBe(3_600_000);
  });

  it('ends when the next attempt would come too late, and never with 0', () => {
    expect(new Backoff(CONFIG, middle).next(295_000)).toBe(5000);
    expect(new Backoff(CONFIG, middle).next(295_001)).toBeUndefined();
    expect(new Backoff(CONFIG, middle).next(0, 301_000)).toBeUndefined();
    expect(new Backoff({ ...CONFIG, max_elapsed_time: 0 }, middle).next(1e12)).toBe(5000);
  });

  it('never waits when retrying is off', () => {
    expect(new Backoff({ ...CONFIG, enabled: false }, middle).next(0, 5)).toBeUndefined();
  });

  it('never begins above the longest interval', () => {
    expect(new Backoff({ ...CONFIG, initial_interval: 60_000 }, middle).next(0)).toBe(30_000);
  });
});
