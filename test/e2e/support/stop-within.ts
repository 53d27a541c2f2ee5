import { performance } from 'node:perf_hooks';
import { expect } from 'vitest';
import type { Agent } from '../../kernel/support/agent.ts';

/** What the agent promises: SIGTERM ends it within this time, whoever hangs. */
const CONTRACT_MS = 10_000;

/** Stops the agent, which must end with 0 and in time. */
export async function stopsInTime(agent: Agent): Promise<void> {
  const from = performance.now();
  expect(await agent.stop()).toBe(0);
  expect(performance.now() - from).toBeLessThan(CONTRACT_MS);
}
