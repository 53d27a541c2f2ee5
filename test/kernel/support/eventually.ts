import { setTimeout as delay } from 'node:timers/promises';

/**
 * Calls `check` until it no longer throws and returns its result. The kernel and the agent take their time, none of
 * which is under test: what never comes true fails with the check's own last error, after `attempts` looks.
 */
export async function eventually<T>(check: () => T | Promise<T>, attempts = 150): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await check();
    } catch (error) {
      if (attempt >= attempts) throw error;
      await delay(100);
    }
  }
}
