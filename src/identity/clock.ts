/** Time as identity uses it: replaced by a fake in tests. */
export interface Clock {
  /**
   * Milliseconds since the epoch by a wall clock that nobody sets while the process runs: what is waited for comes, and
   * what was earlier stays earlier. A node's clock is set back by hours when it has begun with a wrong one.
   */
  now(): number;
  /** Milliseconds since the epoch as the node's clock has them at the moment. */
  wall(): number;
  /** Runs `task` once after `delayMs`, without keeping the process alive. Returns a function that takes it back. */
  schedule(delayMs: number, task: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  wall: () => Date.now(),
  schedule(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** What `now` was at a time that the node's clock has as `wallMs` today. */
export const fromWall = (clock: Clock, wallMs: number): number => wallMs + clock.now() - clock.wall();
