/**
 * Packets that come by interrupt, as from every network card: they are handled in the middle of whatever a process does,
 * of its own connects and closes too. The loopback's own packets never do; receive packet steering makes them.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from './support/agent.ts';
import { eventually } from './support/eventually.ts';
import { load } from './support/load.ts';
import { loopbackNamespace, type Namespace } from './support/namespace.ts';
import { describeOnKernel } from './support/suite.ts';

const SERVER = { name: 'server', ips: ['10.73.100.1'] };
const CLIENT = { name: 'client', ips: ['10.73.100.2'] };
const CONNECTIONS = 20_000;
const STEERING = '/sys/class/net/lo/queues/rx-0/rps_cpus';

describeOnKernel('packets that interrupt processes', () => {
  let agent: Agent;
  let namespace: Namespace;
  const totals = { connections: 0, sent: 0, received: 0 };

  beforeAll(async () => {
    agent = await startAgent({ workloads: [CLIENT, SERVER] });
    namespace = await loopbackNamespace();
  });

  afterAll(async () => {
    await agent?.kill();
    namespace?.remove();
  });

  /** All packets to one CPU, whichever sent them. */
  test.for([0, 1])('all is counted when CPU %i gets them', async (cpu) => {
    // written by a shell inside: /sys shows the namespace of whoever mounted it
    await namespace.exec('sh', '-c', `echo ${(1 << cpu).toString(16)} > ${STEERING}`);
    const result = await load(namespace, {
      address: SERVER.ips[0]!,
      source: CLIENT.ips[0]!,
      connections: CONNECTIONS,
      send: 11,
      reply: 22,
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
          page.sum('istio_tcp_connections_failed_total', labels),
          page.sum('istio_tcp_received_bytes_total', labels),
          page.sum('istio_tcp_sent_bytes_total', labels),
        ]).toEqual([totals.connections, totals.connections, 0, totals.sent, totals.received]);
      }, 50);
    }
  });
});
