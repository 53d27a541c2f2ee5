/**
 * The connection rate of a saturated machine with the agent on, as a share of the rate without it.
 *
 * Method: short connections on the loopback by two workers, both ends counted, 100 bytes there and 200 back; many short
 * runs in pairs, off then on and on then off in turns, so that drift of the machine meets both; the median of the pairs'
 * ratios. The agent is the bundled one, stopped and started between runs, so each "off" run has no program in the kernel
 * at all; it gets three seconds for its start, which is not what is asked here. Once with metrics alone, once with every connection in the access log too (to /dev/null), which takes a share
 * of a saturated machine that any writer of such a log would.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { startAgent } from './support/agent.ts';
import { type Figure, median, tell } from './support/figures.ts';
import { load } from './support/load.ts';

const PAIRS = 15;
const SECONDS = 2;
const SETTLED_MS = 3000;

async function ratioOf(logExporters: Record<string, object>): Promise<{ ratios: number[]; off: number }> {
  const ratios: number[] = [];
  const off: number[] = [];
  for (let pair = 0; pair < PAIRS; pair++) {
    const order = pair % 2 === 0 ? (['off', 'on'] as const) : (['on', 'off'] as const);
    const rate = { on: 0, off: 0 };
    for (const state of order) {
      const agent = state === 'on' ? await startAgent(logExporters) : undefined;
      await sleep(SETTLED_MS);
      rate[state] = (await load({ seconds: SECONDS })).perSecond;
      await agent?.stop();
    }
    ratios.push(rate.on / rate.off);
    off.push(rate.off);
  }
  return { ratios: ratios.sort((a, b) => a - b), off: median(off) };
}

function figure(name: string, { ratios, off }: Awaited<ReturnType<typeof ratioOf>>): Figure {
  const quartiles = `${ratios[Math.floor(PAIRS / 4)]!.toFixed(3)} and ${ratios[Math.floor((3 * PAIRS) / 4)]!.toFixed(3)}`;
  return {
    name,
    measured: median(ratios),
    unit: '',
    note: `off: ${off.toFixed(0)} connections/s; quartiles ${quartiles}`,
  };
}

async function main(): Promise<void> {
  await load({ seconds: SECONDS });
  const metrics = await ratioOf({});
  const logs = await ratioOf({ access_log: { output: '/dev/null' } });
  tell([
    { ...figure('connection rate, agent on / off, metrics', metrics), atLeast: 0.95 },
    figure('connection rate, agent on / off, metrics and access log', logs),
  ]);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
