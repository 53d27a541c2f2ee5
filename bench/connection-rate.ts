/**
 * The connection rate of a saturated machine with the agent on, as a share of the rate without it.
 *
 * Method: short connections on the loopback by two workers, both ends counted, 100 bytes there and 200 back; many short
 * runs in pairs, off then on and on then off in turns, so that drift of the machine meets both; the median of the pairs'
 * ratios. The agent is the bundled one with its default pipelines: metrics on a port, every connection in the access log
 * (to /dev/null). It is stopped and started between runs, so each "off" run has no program in the kernel at all.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { startAgent } from './support/agent.ts';
import { median, tell } from './support/figures.ts';
import { load } from './support/load.ts';

const PAIRS = 15;
const SECONDS = 2;

async function main(): Promise<void> {
  const ratios: number[] = [];
  const rates: number[] = [];
  await load({ seconds: SECONDS });
  for (let pair = 0; pair < PAIRS; pair++) {
    const order = pair % 2 === 0 ? (['off', 'on'] as const) : (['on', 'off'] as const);
    const rate = { on: 0, off: 0 };
    for (const state of order) {
      const agent = state === 'on' ? await startAgent() : undefined;
      await sleep(300);
      rate[state] = (await load({ seconds: SECONDS })).perSecond;
      await agent?.stop();
    }
    ratios.push(rate.on / rate.off);
    rates.push(rate.off);
  }
  const sorted = [...ratios].sort((a, b) => a - b);
  tell([
    {
      name: 'connection rate, agent on / off',
      measured: median(ratios),
      unit: '',
      atLeast: 0.95,
      note: `off: ${median(rates).toFixed(0)} connections/s; quartiles ${sorted[Math.floor(PAIRS / 4)]!.toFixed(3)} and ${sorted[Math.floor((3 * PAIRS) / 4)]!.toFixed(3)}`,
    },
  ]);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
