/** Connections older than the agent: their later bytes and their close are in the ledger, never their opening. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from './support/agent.ts';
import { eventually } from './support/eventually.ts';
import { CLIENT, type PairOfPeers, pairOfPeers, SERVER } from './support/pair.ts';
import type { Socket } from './support/socket.ts';
import { describeOnKernel } from './support/suite.ts';

const OLD = 20;

describeOnKernel('adoption', () => {
  let agent: Agent;
  let pair: PairOfPeers;
  const old: { client: Socket; server: Socket }[] = [];

  beforeAll(async () => {
    pair = await pairOfPeers();
    for (let i = 0; i < OLD; i++) {
      const connection = await pair.connect();
      await connection.client.send(1000);
      await connection.server.receive(1000);
      await connection.server.send(2000);
      await connection.client.receive(2000);
      await connection.client.acknowledged();
      await connection.server.acknowledged();
      old.push(connection);
    }
    agent = await startAgent({ workloads: [CLIENT, SERVER] });
  });

  afterAll(async () => {
    await pair?.remove();
    await agent?.kill();
  });

  const account = async (reporter: string): Promise<number[]> => {
    const page = await agent.scrape();
    const labels = { reporter, source_workload: 'client', destination_workload: 'server' };
    return [
      'istio_tcp_connections_opened_total',
      'istio_tcp_connections_closed_total',
      'istio_tcp_received_bytes_total',
      'istio_tcp_sent_bytes_total',
      'tcp_connections_active',
    ].map((name) => page.sum(name, labels));
  };

  test('they are live connections that nobody has opened, with no bytes yet', async () => {
    for (const reporter of ['source', 'destination']) {
      await eventually(async () => expect(await account(reporter)).toEqual([0, 0, 0, 0, OLD]));
    }
    const page = await agent.scrape();
    expect(page.sum('tcpledger_connections_adopted_total')).toBeGreaterThanOrEqual(2 * OLD);
  });

  test('later bytes and the close are counted, to the byte', async () => {
    const flows = new Set<string>();
    for (const { client, server } of old) {
      await client.send(30);
      await server.receive(30);
      await server.send(500);
      await client.receive(500);
      flows.add((await client.close()).local);
      await server.receiveRest();
      await server.close();
    }
    for (const reporter of ['source', 'destination']) {
      await eventually(async () => expect(await account(reporter)).toEqual([0, OLD, 30 * OLD, 500 * OLD, 0]));
    }
    await eventually(() => {
      const lines = agent.log().filter(({ fields }) => flows.has(String(fields['src.addr'])));
      expect(
        lines.map(({ fields }) => [fields.direction, fields.bytes_sent, fields.bytes_recv].join(' ')).sort(),
      ).toEqual([...Array<string>(OLD).fill('inbound 500 30'), ...Array<string>(OLD).fill('outbound 30 500')]);
    });
  });

  test('a connection opened later is an ordinary one', async () => {
    const { client, server } = await pair.connect();
    await client.send(1);
    await server.receive(1);
    await client.close();
    await server.receiveRest();
    await server.close();
    for (const reporter of ['source', 'destination']) {
      await eventually(async () => expect(await account(reporter)).toEqual([1, OLD + 1, 30 * OLD + 1, 500 * OLD, 0]));
    }
  });
});
