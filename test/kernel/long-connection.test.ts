/** A connection that stays: its bytes are on the page while it is open, and a 32-bit counter would not do. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from './support/agent.ts';
import { eventually } from './support/eventually.ts';
import { CLIENT, type PairOfPeers, pairOfPeers, SERVER } from './support/pair.ts';
import { describeOnKernel } from './support/suite.ts';

const GIB = 2 ** 30;

describeOnKernel('a long connection', () => {
  let agent: Agent;
  let pair: PairOfPeers;

  beforeAll(async () => {
    agent = await startAgent({ workloads: [CLIENT, SERVER] });
    pair = await pairOfPeers();
  });

  afterAll(async () => {
    await pair?.remove();
    await agent?.kill();
  });

  /** opened, closed, client to server, server to client, open now; as that reporter tells it. */
  async function account(reporter: string): Promise<number[]> {
    const page = await agent.scrape();
    const labels = { reporter, source_workload: 'client', destination_workload: 'server' };
    return [
      'istio_tcp_connections_opened_total',
      'istio_tcp_connections_closed_total',
      'istio_tcp_received_bytes_total',
      'istio_tcp_sent_bytes_total',
      'tcp_connections_active',
    ].map((name) => page.sum(name, labels));
  }

  /** A live receiver may hold one byte back until the end, for it might be the FIN's sequence number. */
  async function accountWhileOpen(sent: number, received: number, before: number): Promise<void> {
    await eventually(async () => {
      for (const reporter of ['source', 'destination']) {
        const [opened, closed, towardsServer, towardsClient, active] = await account(reporter);
        const kept = {
          towardsServer: reporter === 'destination' ? 1 : 0,
          towardsClient: reporter === 'source' ? 1 : 0,
        };
        expect([opened, closed, active]).toEqual([before + 1, before, 1]);
        expect(towardsServer).toBeGreaterThanOrEqual(sent - kept.towardsServer);
        expect(towardsServer).toBeLessThanOrEqual(sent);
        expect(towardsClient).toBeGreaterThanOrEqual(received - kept.towardsClient);
        expect(towardsClient).toBeLessThanOrEqual(received);
      }
    });
  }

  test('bytes move while it is open, and the close adds none', async () => {
    const { client, server } = await pair.connect();
    for (let round = 1; round <= 3; round++) {
      await client.send(1000);
      await server.receive(1000);
      await server.send(7000);
      await client.receive(7000);
      await accountWhileOpen(1000 * round, 7000 * round, 0);
    }
    await client.close();
    await server.receiveRest();
    await server.close();
    for (const reporter of ['source', 'destination']) {
      await eventually(async () => expect(await account(reporter)).toEqual([1, 1, 3000, 21000, 0]));
    }
  });

  test('more than 4 GiB in each direction on one connection', async () => {
    const [there, back] = [4 * GIB + 12_345, 4 * GIB + 54_321];
    const { client, server } = await pair.connect();
    await Promise.all([client.exchange(there, back), server.exchange(back, there)]);
    await accountWhileOpen(3000 + there, 21000 + back, 1);
    const { local } = await client.close();
    await server.receiveRest();
    await server.close();
    for (const reporter of ['source', 'destination']) {
      await eventually(async () => expect(await account(reporter)).toEqual([2, 2, 3000 + there, 21000 + back, 0]));
    }
    await eventually(() => {
      const lines = agent.log().filter(({ fields }) => fields['src.addr'] === local);
      expect(lines.map(({ fields }) => [fields.direction, fields.bytes_sent, fields.bytes_recv]).sort()).toEqual([
        ['inbound', back, there],
        ['outbound', there, back],
      ]);
    });
  }, 300_000);
});
