/** Kernel time (nanoseconds since boot) to wall-clock time, without losing nanoseconds to a double. */
export interface WallClock {
  /** Looks at both clocks again: the wall clock is stepped and slewed. */
  synchronize(): void;
  at(bootNs: number): { seconds: number; nanos: number };
}

/** `bootTimeNs` reads CLOCK_BOOTTIME, `wallUs` the time since the epoch in whole microseconds. */
export function createWallClock(bootTimeNs: () => number, wallUs: () => number = wallMicroseconds): WallClock {
  let offsetSeconds = 0;
  let offsetNanos = 0;
  const synchronize = () => {
    const bootUs = Math.floor(bootTimeNs() / 1000);
    const differenceUs = wallUs() - bootUs;
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

/** Microseconds since the epoch: Date.now() has milliseconds only. */
export function wallMicroseconds(): number {
  const us = Math.round((performance.timeOrigin + performance.now()) * 1000);
  const ms = Date.now();
  /* performance's clock does not follow steps of the wall clock: beyond its own resolution Date is right */
  return Math.abs(us - ms * 1000) > 2000 ? ms * 1000 : us;
}
