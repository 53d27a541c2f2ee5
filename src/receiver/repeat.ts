/** Work that comes again and again, never twice at once. */
export interface Repeated {
  /** Does not wait for the next run's time: it begins now, unless one is under way. */
  hasten(): void;
  /** Resolves when the run that is under way has ended; there is none after it. */
  stop(): Promise<void>;
}

/**
 * Runs `work` at once, and again as many milliseconds after its end as it says. What it throws ends the repetition and
 * goes to `fail`.
 */
export function repeat(work: () => number | Promise<number>, fail: (error: Error) => void): Repeated {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void>;
  const run = async () => {
    try {
      const pauseMs = await work();
      if (!stopped) timer = setTimeout(next, pauseMs);
    } catch (error) {
      fail(error as Error);
    }
  };
  const next = () => {
    timer = undefined;
    running = run();
  };
  running = run();
  return {
    hasten() {
      if (timer === undefined) return;
      clearTimeout(timer);
      next();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      timer = undefined;
      await running;
    },
  };
}
