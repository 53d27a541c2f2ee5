/** Waits for what must come; a test that waits in vain is ended by the suite. */
import { setTimeout as delay } from 'node:timers/promises';

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(2);
}
