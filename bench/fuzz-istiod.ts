/**
 * A million mutated discovery messages: no crash, no stall, no growth; the same as test/identity/sources/istiod/fuzz.test.ts,
 * only more of it, with the memory watched.
 *
 * Method: one process, messages from a seed; every hundredth message a stream says all that is right. Growth: heap in use
 * after a collection, at the end less a tenth of the way in. Stall: the most CPU time that one message took.
 *
 *     node bench/run.mjs fuzz-istiod
 */
import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { fuzz } from '../test/identity/sources/istiod/support/fuzz.ts';
import { tell } from './support/figures.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

const MESSAGES = 1_000_000;

function heapMb(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed / 1e6;
}

async function main(): Promise<void> {
  const began = performance.now();
  let early = 0;
  let last = process.cpuUsage();
  let longestUs = 0;
  const { given, state } = await fuzz({
    messages: MESSAGES,
    seed: Date.now(),
    afterEach(count) {
      const { user, system } = process.cpuUsage(last);
      longestUs = Math.max(longestUs, user + system);
      if (count === MESSAGES / 10) early = heapMb();
      last = process.cpuUsage();
    },
  });
  const seconds = (performance.now() - began) / 1000;
  const growth = heapMb() - early;
  console.log(`${JSON.stringify(given)} ${JSON.stringify(state)}`);
  tell([
    { name: `${MESSAGES} mutated messages`, measured: seconds, unit: 's' },
    { name: 'growth', measured: growth, unit: 'MB', atMost: 1 },
    { name: 'longest message', measured: longestUs / 1000, unit: 'ms', atMost: 50 },
    { name: 'workloads afterwards', measured: Number(state.workloads), unit: '', atMost: 2, atLeast: 2 },
  ]);
}

void main();
