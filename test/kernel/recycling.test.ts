/** Slots are given back and used again by others: the series they were added to go on as if nothing had happened. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from './support/agent.ts';
import { eventually } from './support/eventually.ts';
import { load } from './support/load.ts';
import { loopbackNamespace, type Namespace } from './support/namespace.ts';
import { describeOnKernel } from './support/suite.ts';

/** Each wave comes from addresses of its own: two pairs an address, 400 of 512 slots in two waves. */
const SOURCES = 100;
const WAVES = 4;

const addresses = (wave: number): string[] => Array.from({ length: SOURCES }, (_, i) => `10.73.${60 + wave}.${i}`);

describeOnKernel('slots are recycled', () => {
  let agent: Agent;
  let namespace: Namespace;

  beforeAll(async () => {
    agent = await startAgent({
      workloads: [
        { name: 'client', ips: Array.from({ length: WAVES }, (_, wave) => addresses(wave)).flat() },
        { name: 'server', ips: ['10.73.100.1'] },
      ],
      receiver: { max_pairs: 512 },
    });
    namespace = await loopbackNamespace();
  });

  afterAll(async () => {
    await agent?.kill();
    namespace?.remove();
  });

  test('and used again, totals exact', async () => {
    const totals = { connections: 0, sent: 0, received: 0 };
    for (let wave = 0; wave < WAVES; wave++) {
      // as many slots as this wave needs were given back before
      const needed = Math.max(0, (wave - 1) * 2 * SOURCES);
      await eventually(async () => {
        expect((await agent.scrape()).sum('tcpledger_slots_recycled_total')).toBeGreaterThanOrEqual(needed);
      }, 4000);
      const result = await load(namespace, {
        address: '10.73.100.1',
        port: 8080,
        source: addresses(wave)[0]!,
        sources: SOURCES,
        connections: 20 * SOURCES,
        send: 100 + wave,
        reply: 1000 + wave,
      });
      totals.connections += result.connections;
      totals.sent += result.sent;
      totals.received += result.received;
      for (const reporter of ['source', 'destination']) {
        const labels = { reporter, source_workload: 'client', destination_workload: 'server' };
        await eventually(async () => {
          const page = await agent.scrape();
          expect([
            page.sum('istio_tcp_connections_opened_total', labels),
            page.sum('istio_tcp_connections_closed_total', labels),
            page.sum('istio_tcp_received_bytes_total', labels),
            page.sum('istio_tcp_sent_bytes_total', labels),
          ]).toEqual([totals.connections, totals.connections, totals.sent, totals.received]);
        });
      }
    }
  }, 900_000);
});
