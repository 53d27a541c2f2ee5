/** A million connections: to the byte, and the agent's memory is where it was. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from './support/agent.ts';
import { eventually } from './support/eventually.ts';
import { load } from './support/load.ts';
import { loopbackNamespace, type Namespace } from './support/namespace.ts';
import { describeOnKernel } from './support/suite.ts';

const MIB = 2 ** 20;
const WARM_UP = 100_000;
const CONNECTIONS = 1_000_000;

describeOnKernel('a million connections', () => {
  let agent: Agent;
  let namespace: Namespace;

  beforeAll(async () => {
    agent = await startAgent({
      workloads: [
        { name: 'client', ips: ['10.73.100.2'] },
        { name: 'server', ips: ['10.73.100.1'] },
      ],
      logOutput: '/dev/null',
    });
    namespace = await loopbackNamespace();
  });

  afterAll(async () => {
    await agent?.kill();
    namespace?.remove();
  });

  const run = (connections: number) =>
    load(namespace, { address: '10.73.100.1', source: '10.73.100.2', connections, send: 11, reply: 22 });

  const exactly = async (connections: number): Promise<void> => {
    for (const reporter of ['source', 'destination']) {
      const labels = { reporter, source_workload: 'client', destination_workload: 'server' };
      await eventually(async () => {
        const page = await agent.scrape();
        expect([
          page.sum('istio_tcp_connections_opened_total', labels),
          page.sum('istio_tcp_connections_closed_total', labels),
          page.sum('istio_tcp_received_bytes_total', labels),
          page.sum('istio_tcp_sent_bytes_total', labels),
        ]).toEqual([connections, connections, 11 * connections, 22 * connections]);
      });
    }
  };

  test('leave totals exact and memory flat', async () => {
    await run(WARM_UP);
    await exactly(WARM_UP);
    const warm = agent.residentBytes();
    await run(CONNECTIONS);
    await exactly(WARM_UP + CONNECTIONS);
    expect(agent.residentBytes() - warm).toBeLessThan(24 * MIB);
  }, 900_000);
});
