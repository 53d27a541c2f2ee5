import fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import { createWallClock, wallMicroseconds } from '../../src/receiver/wall-clock.ts';

afterEach(() => {
  vi.useRealTimers();
});

test('a kernel time is told to the nanosecond', () => {
  const day = 86_400_000_000_000;
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 100 * day }),
      fc.integer({ min: 1_500_000_000_000_000, max: 2_500_000_000_000_000 }),
      fc.integer({ min: 0, max: 100 * day }),
      (bootNs, wallUs, at) => {
        const { seconds, nanos } = createWallClock(
          () => bootNs,
          () => wallUs,
        ).at(at);
        const offsetNs = (BigInt(wallUs) - BigInt(Math.floor(bootNs / 1000))) * 1000n;
        expect(BigInt(seconds) * 1_000_000_000n + BigInt(nanos)).toBe(offsetNs + BigInt(at));
        expect(nanos).toBeGreaterThanOrEqual(0);
        expect(nanos).toBeLessThan(1e9);
        expect(Number.isInteger(nanos) && Number.isInteger(seconds)).toBe(true);
      },
    ),
  );
});

test('a step of the wall clock is followed when the clocks are looked at again', () => {
  let wallUs = 1_700_000_000_000_000;
  const clock = createWallClock(
    () => 5e9,
    () => wallUs,
  );
  expect(clock.at(6e9)).toEqual({ seconds: 1_700_000_001, nanos: 0 });
  wallUs -= 3_600_000_000;
  expect(clock.at(6e9).seconds).toBe(1_700_000_001);
  clock.synchronize();
  expect(clock.at(6e9)).toEqual({ seconds: 1_699_996_401, nanos: 0 });
});

test('the wall clock is that of Date, in microseconds', () => {
  const before = Date.now() - 3;
  const us = wallMicroseconds();
  expect(Number.isInteger(us)).toBe(true);
  expect(us / 1000).toBeGreaterThanOrEqual(before);
  expect(us / 1000).toBeLessThanOrEqual(Date.now() + 3);
});

test('a wall clock that was stepped after the process began is Date, to the millisecond', () => {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 });
  expect(wallMicroseconds()).toBe(Date.now() * 1000);
});
