/** Kernel time (nanoseconds since boot) to wall-clock time, without losing nanoseconds to a double. */
export interface WallClock {
  /** Looks at both clocks again: the wall clock is stepped and slewed. */
  synchronize(): void;
  at(bootNs: number): { seconds: number; nanos: number };
}

/** `bootTimeNs` reads CLOCK_BOOTTIME. */
export function createWallClock(bootTimeNs: () => number): WallClock {
  let offsetSeconds = 0;
  let offsetNanos = 0;
  const synchronize = () => {
    const boot = bootTimeNs();
    /* performance.timeOrigin + now() has microseconds; Date.now() only milliseconds */
    const wallUs = Math.round((performance.timeOrigin + performance.now()) * 1000);
    const drift = wallUs - Date.now() * 1000;
    /* performance's clock does not follow steps of the wall clock: beyond its own resolution Date is right */
    const us = Math.abs(drift) > 2000 ? Date.now() * 1000 : wallUs;
    const bootUs = Math.floor(boot / 1000);
    const differenceUs = us - bootUs;
    offsetSeconds = Math.floor(differenceUs / 1e6);
    offsetNanos = (differenceUs - offsetSeconds * 1e6) * 1000;
  };
  synchronize();
  return {
    synchronize,
    at(bootNs) {
      const whole = Math.floor(bootNs / 1e9);
      let nanos = bootNs - whole * 1e9 + offsetNanos;
      let seconds = whole + offsetSeconds;
      if (nanos >= 1e9) {
        nanos -= 1e9;
        seconds++;
      }
      return { seconds, nanos };
    },
  };
}
