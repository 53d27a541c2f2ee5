/** An access-log ring of one page under full load: records are lost, and counted; the totals never depend on them. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { auditedTotals, seriesTotals } from './support/account.ts';
import { type Agent, startAgent } from './support/agent.ts';
import { eventually } from './support/eventually.ts';
import { type LoadResult, load } from './support/load.ts';
import { loopbackNamespace, type Namespace } from './support/namespace.ts';
import { describeOnKernel } from './support/suite.ts';

const SERVER = { name: 'server', ips: ['10.73.100.1'] };
const CLIENT = { name: 'client', ips: ['10.73.100.2'] };

describeOnKernel('a ring of one page under full load', () => {
  let agent: Agent;
  let namespace: Namespace;
  let result: LoadResult;

  beforeAll(async () => {
    agent = await startAgent({ workloads: [CLIENT, SERVER], receiver: { access_log_buffer: '4KiB' } });
    namespace = await loopbackNamespace();
    const [address, source] = [SERVER.ips[0]!, CLIENT.ips[0]!];
    result = await load(namespace, { address, source, connections: 30_000, send: 11, reply: 22 });
  }, 300_000);

  afterAll(async () => {
    await agent?.kill();
    namespace?.remove();
  });

  test.for(['source', 'destination'])('totals are exact (%s)', async (reporter) => {
    const labels = { reporter, source_workload: 'client', destination_workload: 'server' };
    await eventually(async () => {
      const page = await agent.scrape();
      expect([
        page.sum('istio_tcp_connections_opened_total', labels),
        page.sum('istio_tcp_connections_closed_total', labels),
        page.sum('istio_tcp_received_bytes_total', labels),
        page.sum('istio_tcp_sent_bytes_total', labels),
      ]).toEqual([result.connections, result.connections, result.sent, result.received]);
    });
  });

  test('each record that is missing is counted as dropped', async () => {
    await eventually(async () => {
      const page = await agent.scrape();
      const ended = page.sum('tcpledger_connections_closed_total') + page.sum('tcpledger_connections_failed_total');
      const dropped = page.sum('tcpledger_access_log_dropped_total');
      expect(dropped).toBeGreaterThan(0);
      expect(agent.log().length + dropped).toBe(ended);
    });
  });

  test('the audit line is the sum of all series', async () => {
    await eventually(async () => {
      const page = await agent.scrape();
      expect(auditedTotals(page)).toEqual(seriesTotals(page));
    });
  });
});
