/**
 * A server that is open to the internet: 200,000 remote addresses, none of which has a socket on this node. Far more
 * pairs than slots: the totals stay exact, the server keeps its name, the memory stays where it was.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from './support/agent.ts';
import { eventually } from './support/eventually.ts';
import { load } from './support/load.ts';
import { addStrangers, loopbackNamespace, type Namespace } from './support/namespace.ts';
import { describeOnKernel } from './support/suite.ts';

const SERVER = { name: 'exposed', ips: ['10.73.200.1'] };
const ADDRESSES = 200_000;
const WARM_UP = 50_000;
const MIB = 2 ** 20;

describeOnKernel('a flood of remote addresses', () => {
  let agent: Agent;
  let namespace: Namespace;
  let device: string;
  let warm = 0;

  beforeAll(async () => {
    agent = await startAgent({ workloads: [SERVER] });
    namespace = await loopbackNamespace();
    device = await addStrangers(namespace, '10.128.0.0/9');
  });

  afterAll(async () => {
    await agent?.kill();
    namespace?.remove();
  });

  /** From that many addresses, one connection each: 11 bytes there, 22 back. */
  const flood = (source: string, sources: number) =>
    load(namespace, {
      address: SERVER.ips[0]!,
      connections: sources,
      send: 11,
      reply: 22,
      source,
      sources,
      tun: device,
    });

  const account = async (): Promise<Record<string, number>> => {
    const page = await agent.scrape();
    const labels = { reporter: 'destination', destination_workload: SERVER.name };
    return {
      opened: page.sum('istio_tcp_connections_opened_total', labels),
      closed: page.sum('istio_tcp_connections_closed_total', labels),
      received: page.sum('istio_tcp_received_bytes_total', labels),
      sent: page.sum('istio_tcp_sent_bytes_total', labels),
      // all strangers are one unknown: one series
      series: page.select('istio_tcp_connections_opened_total', labels).length,
    };
  };

  const exactly = (connections: number): Record<string, number> => ({
    opened: connections,
    closed: connections,
    received: 11 * connections,
    sent: 22 * connections,
    series: 1,
  });

  test('before the slots have run out', async () => {
    await flood('10.128.0.0', WARM_UP);
    await eventually(async () => expect(await account()).toEqual(exactly(WARM_UP)));
    warm = agent.residentBytes();
  }, 300_000);

  test('and long after: totals exact, the server named throughout, memory flat', async () => {
    await flood('10.144.0.0', ADDRESSES);
    await eventually(async () => expect(await account()).toEqual(exactly(WARM_UP + ADDRESSES)));
    expect(agent.residentBytes() - warm).toBeLessThan(24 * MIB);
  }, 300_000);

  test('who had no slot of his own is counted as such', async () => {
    const page = await agent.scrape();
    expect(page.sum('tcpledger_pair_overflow_total', { kind: 'coarse' })).toBeGreaterThan(0);
    expect(page.sum('tcpledger_pair_overflow_total', { kind: 'unattributed' })).toBe(0);
  });
});
