import { afterEach, describe, expect, it, vi } from 'vitest';
import { fromWall, systemClock } from '../../src/identity/clock.ts';

afterEach(() => void vi.useRealTimers());

describe('the clock', () => {
  it("goes on as before when the node's is set, and tells what its times were", () => {
    const before = systemClock.now();
    expect(Math.abs(before - Date.now())).toBeLessThan(1_000);
    for (const set of [-3_600_000, 3_600_000]) {
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + set });
      const now = systemClock.now();
      expect(now).toBeGreaterThanOrEqual(before);
      expect(systemClock.wall()).toBe(Date.now());
      // A minute ago, by both.
      expect(Math.abs(fromWall(systemClock, Date.now() - 60_000) - (now - 60_000))).toBeLessThan(1_000);
      vi.useRealTimers();
    }
  });
});
