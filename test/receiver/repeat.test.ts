import { expect, test, vi } from 'vitest';
import { repeat } from '../../src/receiver/repeat.ts';

const never = (error: Error) => {
  throw error;
};

test('work is done at once, and again after the pause that it asked for', async () => {
  vi.useFakeTimers();
  try {
    const pauses = [10, 5, 1000];
    let runs = 0;
    const repeated = repeat(() => pauses[runs++] ?? 1, never);
    expect(runs).toBe(1);
    await vi.advanceTimersByTimeAsync(9);
    expect(runs).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(runs).toBe(2);
    await vi.advanceTimersByTimeAsync(5);
    expect(runs).toBe(3);
    await repeated.stop();
    await vi.advanceTimersByTimeAsync(5000);
    expect(runs).toBe(3);
  } finally {
    vi.useRealTimers();
  }
});

test('hastened, it does not wait for its time, nor runs twice', async () => {
  vi.useFakeTimers();
  try {
    let runs = 0;
    const repeated = repeat(async () => {
      runs++;
      await new Promise((resolve) => setTimeout(resolve, 10));
      return 1000;
    }, never);
    repeated.hasten();
    expect(runs).toBe(1);
    await vi.advanceTimersByTimeAsync(500);
    repeated.hasten();
    repeated.hasten();
    expect(runs).toBe(2);
    await vi.advanceTimersByTimeAsync(1009);
    expect(runs).toBe(2);
    await vi.advanceTimersByTimeAsync(1);
    expect(runs).toBe(3);
    const stopped = repeated.stop();
    await vi.advanceTimersByTimeAsync(10);
    await stopped;
    repeated.hasten();
    await vi.advanceTimersByTimeAsync(5000);
    expect(runs).toBe(3);
  } finally {
    vi.useRealTimers();
  }
});

test('a stop waits for the run that is under way', async () => {
  let end = () => {};
  let ended = false;
  const repeated = repeat(async () => {
    await new Promise<void>((resolve) => {
      end = resolve;
    });
    ended = true;
    return 0;
  }, never);
  const stopped = repeated.stop().then(() => ended);
  end();
  expect(await stopped).toBe(true);
});

test('what the work throws ends it and goes to fail', async () => {
  for (const work of [
    () => {
      throw new Error('at once');
    },
    async () => {
      throw new Error('at once');
    },
  ]) {
    const errors: string[] = [];
    let runs = 0;
    const repeated = repeat(
      () => {
        runs++;
        return work();
      },
      (error) => errors.push(error.message),
    );
    await new Promise((resolve) => setTimeout(resolve, 5));
    await repeated.stop();
    expect([runs, errors]).toEqual([1, ['at once']]);
  }
});
