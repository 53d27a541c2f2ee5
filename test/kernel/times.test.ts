/**
 * When connections open and close, by the application's own clock. The kernel half takes the time of a packet from the
 * socket's clock instead of reading one: where there was no packet that clock is old, and a close would seem early.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from './support/agent.ts';
import { eventually } from './support/eventually.ts';
import { type OtlpCollector, otlpCollector } from './support/otlp-logs.ts';
import { CLIENT, type PairOfPeers, pairOfPeers, SERVER } from './support/pair.ts';
import type { Socket } from './support/socket.ts';
import { describeOnKernel } from './support/suite.ts';

/** How long each connection is idle before it is ended. */
const IDLE_MS = 300;

interface Ends {
  readonly client: Socket;
  readonly server: Socket;
}

const ENDINGS: Readonly<Record<string, (ends: Ends) => Promise<void>>> = {
  'the client closes, then the server': async ({ client, server }) => {
    await client.close();
    await server.receiveRest();
    await server.close();
  },
  'the server closes, then the client': async ({ client, server }) => {
    await server.close();
    await client.receiveRest();
    await client.close();
  },
  'the client aborts (linger 0)': async ({ client, server }) => {
    await client.linger(0);
    await client.close();
    await server.state('close');
    await server.close();
  },
  'the server closes with unread data': async ({ client, server }) => {
    await client.send(100);
    await server.close();
    await client.state('close');
    await client.close();
  },
};

describeOnKernel('times', () => {
  let collector: OtlpCollector;
  let agent: Agent;
  let pair: PairOfPeers;

  beforeAll(async () => {
    collector = await otlpCollector();
    agent = await startAgent({ workloads: [CLIENT, SERVER], logsTo: collector.endpoint });
    pair = await pairOfPeers();
  });

  afterAll(async () => {
    await pair?.remove();
    await agent?.kill();
    await collector?.close();
  });

  /** Of the peers; those of the agent's own start may come late. */
  const records = () => collector.records.filter(({ attributes }) => attributes['src.workload'] === CLIENT.name);

  /** The records of both ends of one connection whose `end` is called when it has been idle. */
  async function live(end: (ends: Ends) => Promise<void>): Promise<void> {
    const before = records().length;
    const began = { wall: Date.now(), clock: performance.now() };
    const ends = await pair.connect();
    const open = performance.now();
    await ends.client.send(10);
    await ends.server.receive(10);
    await sleep(IDLE_MS);
    const ending = { wall: Date.now(), clock: performance.now() };
    await end(ends);
    await eventually(async () => expect(records().length).toBe(before + 2));
    const over = { wall: Date.now(), clock: performance.now() };
    for (const { attributes, timeUnixNano } of records().slice(before)) {
      const durationMs = 1000 * Number(attributes['tcpledger.duration']);
      expect(durationMs).toBeGreaterThanOrEqual(ending.clock - open);
      expect(durationMs).toBeLessThanOrEqual(over.clock - began.clock);
      const closedAt = Number(timeUnixNano / 1_000_000n);
      expect(closedAt).toBeGreaterThanOrEqual(ending.wall - 1);
      expect(closedAt).toBeLessThanOrEqual(over.wall + 1);
      const connectMs = attributes['tcpledger.connect.duration'];
      if (connectMs !== undefined) {
        expect(Number(connectMs)).toBeGreaterThan(0);
        expect(1000 * Number(connectMs)).toBeLessThanOrEqual(open - began.clock);
      }
    }
  }

  test.for(Object.keys(ENDINGS))('%s', async (name) => {
    await live(ENDINGS[name]!);
  });

  test('a half-closed connection ends with its second half', async () => {
    await live(async ({ client, server }) => {
      await client.shutdown('wr');
      await server.receiveRest();
      const halfClosed = performance.now();
      await sleep(IDLE_MS);
      await server.close();
      await client.receiveRest();
      await client.close();
      await eventually(async () => {
        const durations = records()
          .slice(-2)
          .map(({ attributes }) => Number(attributes['tcpledger.duration']));
        expect(Math.min(...durations)).toBeGreaterThan(2 * (IDLE_MS / 1000));
      });
      expect(performance.now() - halfClosed).toBeGreaterThanOrEqual(IDLE_MS);
    });
  });

  test('so does one that its own process gives up while it waits for the second half', async () => {
    await live(async ({ client, server }) => {
      await client.shutdown('wr');
      await server.receiveRest();
      await sleep(IDLE_MS);
      /* FIN_WAIT2: closed without a packet, by the process itself */
      await client.close();
      await server.close();
      await eventually(async () => {
        const durations = records()
          .slice(-2)
          .map(({ attributes }) => Number(attributes['tcpledger.duration']));
        expect(Math.min(...durations)).toBeGreaterThan(2 * (IDLE_MS / 1000));
      });
    });
  });
});
