/**
 * Packets that come by interrupt, as from every network card: they are handled in the middle of whatever a process does,
 * of its own connects and closes too. The loopback's own packets never do; receive packet steering makes them.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from './support/agent.ts';
import { eventually } from './support/eventually.ts';
import { type FirstProcessTrace, traceFirstProcess } from './support/first-process.ts';
import { load } from './support/load.ts';
import { loopbackNamespace, type Namespace } from './support/namespace.ts';
import { describeOnKernel } from './support/suite.ts';

const SERVER = { name: 'server', ips: ['10.73.100.1'] };
/** A client a round, so that each round's totals are its own. */
const CLIENTS = Array.from({ length: 150 }, (_, i) => ({ name: `client-${i}`, ips: [`10.73.101.${i + 1}`] }));
const CONNECTIONS = 2_000;
const SENT = 11;
const REPLIED = 22;
const ROUNDS = 12;
const STEERING = '/sys/class/net/lo/queues/rx-0/rps_cpus';

describeOnKernel('packets that interrupt processes', () => {
  let agent: Agent;
  let namespace: Namespace;
  let firstProcess: FirstProcessTrace;
  let clients: Iterator<(typeof CLIENTS)[number]>;

  beforeAll(async () => {
    agent = await startAgent({ workloads: [...CLIENTS, SERVER] });
    namespace = await loopbackNamespace();
    firstProcess = traceFirstProcess();
    clients = CLIENTS.values();
  });

  afterAll(async () => {
    await agent?.kill();
    namespace?.remove();
    firstProcess?.remove();
  });

  /** False when the round tells nothing: packets came while BPF programs were not to run. */
  async function round(): Promise<boolean> {
    const client = clients.next().value;
    if (!client) throw new Error('Too many rounds met the first process: no client is left for another');
    firstProcess.taken();
    await load(namespace, {
      address: SERVER.ips[0]!,
      source: client.ips[0]!,
      connections: CONNECTIONS,
      send: SENT,
      reply: REPLIED,
    });
    if (firstProcess.taken() > 0) return false;
    for (const reporter of ['source', 'destination']) {
      const labels = { reporter, source_workload: client.name, destination_workload: 'server' };
      await eventually(async () => {
        const page = await agent.scrape();
        expect([
          page.sum('istio_tcp_connections_opened_total', labels),
          page.sum('istio_tcp_connections_closed_total', labels),
          page.sum('istio_tcp_connections_failed_total', labels),
          page.sum('istio_tcp_received_bytes_total', labels),
          page.sum('istio_tcp_sent_bytes_total', labels),
        ]).toEqual([CONNECTIONS, CONNECTIONS, 0, CONNECTIONS * SENT, CONNECTIONS * REPLIED]);
      }, 50);
    }
    return true;
  }

  /** A mask of the CPUs that get the packets, whichever sent them. */
  test.for([1, 2, 3])('all is counted when the CPUs of mask %i get them', async (mask) => {
    // written by a shell inside: /sys shows the namespace of whoever mounted it
    await namespace.exec('sh', '-c', `echo ${mask.toString(16)} > ${STEERING}`);
    for (let done = 0; done < ROUNDS; ) if (await round()) done++;
  });
});
