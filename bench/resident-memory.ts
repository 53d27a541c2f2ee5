/**
 * Resident memory of the idle agent: what `ps` and the kernel's accounting show, and what of it is the agent's alone.
 *
 * Method: VmRSS and RssAnon of /proc/<pid>/status, 30 seconds after the start, of the bundled agent with the components
 * of otel-config.yaml. The reference is a node that waits, started at the same time. Three rounds, medians. The machine
 * must be quiet: an agent that has seen a burst of connections keeps a larger young generation.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { startAgent } from './support/agent.ts';
import { median, tell } from './support/figures.ts';

const IDLE_MS = 30_000;
const ROUNDS = 3;

/** MiB of a line of /proc/<pid>/status. */
function statusMiB(pid: number, line: 'VmRSS' | 'RssAnon'): number {
  const [, kb] = new RegExp(`^${line}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'))!;
  return Number(kb) / 1024;
}

async function main(): Promise<void> {
  const agentMiB: number[] = [];
  const agentOwnMiB: number[] = [];
  const nodeMiB: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const node = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    const agent = await startAgent();
    await sleep(IDLE_MS);
    agentMiB.push(statusMiB(agent.pid, 'VmRSS'));
    agentOwnMiB.push(statusMiB(agent.pid, 'RssAnon'));
    nodeMiB.push(statusMiB(node.pid!, 'VmRSS'));
    await agent.stop();
    const exited = once(node, 'exit');
    node.kill();
    await exited;
  }
  const own = median(agentOwnMiB).toFixed(1);
  const reference = median(nodeMiB).toFixed(1);
  tell([
    {
      name: 'resident memory, idle, bundled',
      measured: median(agentMiB),
      unit: 'MiB',
      atMost: 60,
      note: `anonymous: ${own} MiB; a node that waits: ${reference} MiB`,
    },
  ]);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
