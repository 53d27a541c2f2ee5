/**
 * A million mutated messages: no crash, no stall, no growth; the same as the fuzz tests of the sources, only more of it,
 * with the memory watched.
 *
 * Method: one process, messages from a seed; again and again all that is right is told anew, and what the directory then
 * answers compared with what it answered at first. Growth: heap in use after a collection, at the end less a tenth of the
 * way in. Stall: the most CPU time from one message to the next, or from one stream to the next.
 */
import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { tell } from './figures.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

const MESSAGES = Number(process.env.FUZZ_MESSAGES ?? 1_000_000);
/** Repeats a run. */
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

function heapMb(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed / 1e6;
}

/** `afterEach` is called with the number of messages so far. */
export interface FuzzOptions {
  readonly messages: number;
  readonly seed: number;
  readonly afterEach: (count: number) => void;
}

/** `fuzz` rejects when something is not as it must be, and resolves to what became of the messages. */
export async function measureFuzz(fuzz: (options: FuzzOptions) => Promise<unknown>): Promise<void> {
  console.log(`seed ${SEED}`);
  const began = performance.now();
  let early: number | undefined;
  let last = process.cpuUsage();
  let longestUs = 0;
  const result = await fuzz({
    messages: MESSAGES,
    seed: SEED,
    afterEach(count) {
      const { user, system } = process.cpuUsage(last);
      longestUs = Math.max(longestUs, user + system);
      if (count >= MESSAGES / 10) early ??= heapMb();
      last = process.cpuUsage();
    },
  });
  const seconds = (performance.now() - began) / 1000;
  const growth = heapMb() - early!;
  console.log(JSON.stringify(result));
  tell([
    { name: `${MESSAGES} mutated messages`, measured: seconds, unit: 's' },
    { name: 'growth', measured: growth, unit: 'MB', atMost: 1 },
    { name: 'longest', measured: longestUs / 1000, unit: 'ms', atMost: 50 },
  ]);
}
