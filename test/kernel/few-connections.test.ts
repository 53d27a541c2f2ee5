/** More connections open at once than are tracked: who they are is lost, that they were and what they moved is not. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { auditedTotals, seriesTotals } from './support/account.ts';
import { type Agent, startAgent } from './support/agent.ts';
import { eventually } from './support/eventually.ts';
import { CLIENT, type PairOfPeers, pairOfPeers, SERVER } from './support/pair.ts';
import type { Socket } from './support/socket.ts';
import { describeOnKernel } from './support/suite.ts';

const OPEN = 60;
/** By then a sweep has been that began after now, on a slow machine too. */
const SWEPT_MS = 3_000;
/** Connects without a route, while all places are taken. */
const LOST = 20;
const MISSED = ['tcpledger_kernel_errors_total', { operation: 'dial_missed' }] as const;
const NOWHERE = { name: 'nowhere', ips: ['10.99.0.1'] } as const;
const THERE = 4_321;
const BACK = 8_765;

describeOnKernel('more open connections than are tracked', () => {
  let agent: Agent;
  let pair: PairOfPeers;
  let missedBefore: number;

  beforeAll(async () => {
    agent = await startAgent({ workloads: [CLIENT, SERVER, NOWHERE], receiver: { max_connections: 16 } });
    pair = await pairOfPeers();
    const connections: { client: Socket; server: Socket }[] = [];
    for (let i = 0; i < OPEN; i++) connections.push(await pair.connect());
    for (const { client, server } of connections) {
      await client.send(THERE);
      await server.receive(THERE);
      await server.send(BACK);
      await client.receive(BACK);
    }
    missedBefore = (await agent.scrape()).sum(...MISSED);
    for (let i = 0; i < LOST; i++) {
      const socket = await pair.client.socket(4);
      await expect(socket.connect(NOWHERE.ips[0], 80)).rejects.toMatchObject({ errno: 'ENETUNREACH' });
      await socket.close();
    }
    for (const { client, server } of connections) {
      await client.close();
      await server.receiveRest();
      await server.close();
    }
  });

  afterAll(async () => {
    await pair?.remove();
    await agent?.kill();
  });

  test('each of them is in the log, at both ends, to the byte', async () => {
    await eventually(() => {
      const ends = agent.log().map(({ fields }) => [fields.bytes_sent, fields.bytes_recv].join());
      expect(ends.filter((end) => end === `${THERE},${BACK}`)).toHaveLength(OPEN);
      expect(ends.filter((end) => end === `${BACK},${THERE}`)).toHaveLength(OPEN);
    });
  });

  test('and in the totals, which are the sum of all series', async () => {
    await eventually(async () => {
      // the log is ahead of the page, by the last look at it too
      const lines = agent.log().filter(({ level }) => level === 'info').length;
      await sleep(SWEPT_MS);
      const page = await agent.scrape();
      const totals = auditedTotals(page);
      expect(totals).toEqual(seriesTotals(page));
      expect(totals.closed).toBe(lines);
      expect(totals.opened - totals.failed).toBeGreaterThanOrEqual(2 * OPEN);
    });
  });

  test('those without a place are counted as such', async () => {
    const page = await agent.scrape();
    expect(page.sum('tcpledger_pair_overflow_total', { kind: 'unattributed' })).toBeGreaterThan(0);
  });

  test('nor is a connect lost in silence that failed before a packet could leave', async () => {
    await eventually(async () => {
      const page = await agent.scrape();
      const failed = page.sum('istio_tcp_connections_failed_total', { destination_workload: NOWHERE.name });
      expect(failed + page.sum(...MISSED) - missedBefore).toBeGreaterThanOrEqual(LOST);
    });
  });
});
