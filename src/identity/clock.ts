/** Time as identity uses it: replaced by a fake in tests. */
export interface Clock {
  /** Wall-clock milliseconds since the epoch. */
  now(): number;
  /** Runs `task` once after `delayMs`, without keeping the process alive. Returns a function that takes it back. */
  schedule(delayMs: number, task: () => void): () => void;
}

export const systemClock: Clock = {
  now: Date.now,
  schedule(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
