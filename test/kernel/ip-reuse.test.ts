/** An address changes hands under load: what was opened before keeps its name until it closes, nothing is lost. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from './support/agent.ts';
import { eventually } from './support/eventually.ts';
import { load } from './support/load.ts';
import { type Link, linkedNamespaces } from './support/namespace.ts';
import { Peer } from './support/peer.ts';
import type { Page } from './support/prometheus-text.ts';
import type { Socket } from './support/socket.ts';
import { describeOnKernel } from './support/suite.ts';

const ADDRESS = '10.72.50.1';
const DIALLED = { name: 'dialled', ips: ['10.72.50.2'] };
const HELD_SERVER = { name: 'held-server', ips: ['10.72.50.3'] };
const OWNERS = ['first', 'second', 'third', 'first'];

describeOnKernel('an address is used by one workload after another, under load', () => {
  let agent: Agent;
  let link: Link;

  const owned = (owner: string) => [{ name: owner, ips: [ADDRESS] }, DIALLED, HELD_SERVER];

  beforeAll(async () => {
    agent = await startAgent({ workloads: owned(OWNERS[0]!) });
    link = await linkedNamespaces();
  });

  afterAll(async () => {
    await agent?.kill();
    link?.remove();
  });

  const sum = (page: Page, name: string, owner: string, destination: string, reporter = 'source'): number =>
    page.sum(name, { reporter, source_workload: owner, destination_workload: destination });

  test('connections keep the name they were opened under; the sums are exact', async () => {
    const peer = await Peer.start(link.server);
    const listener = await peer.socket(4);
    await listener.bind(HELD_SERVER.ips[0]!);
    const port = await listener.listen();
    const held: { owner: string; client: Socket; server: Socket }[] = [];
    // ends when the changes are over: both kinds of connection meet every one of them
    let changing = true;
    const traffic = (async () => {
      const totals = { connections: 0, sent: 0, received: 0 };
      while (changing) {
        const wave = await load(link.server, {
          address: DIALLED.ips[0]!,
          source: ADDRESS,
          connections: 3000,
          send: 100,
          reply: 300,
        });
        totals.connections += wave.connections;
        totals.sent += wave.sent;
        totals.received += wave.received;
      }
      return totals;
    })();

    for (const [turn, owner] of OWNERS.entries()) {
      const before = (await agent.scrape()).sum('istio_tcp_connections_opened_total', { source_workload: owner });
      agent.rename(owned(owner));
      // the page shows new connections of that name: the change has been read
      await eventually(async () => {
        const now = (await agent.scrape()).sum('istio_tcp_connections_opened_total', { source_workload: owner });
        expect(now).toBeGreaterThan(before);
      });
      for (let i = 0; i <= turn; i++) {
        const client = await peer.socket(4);
        await client.bind(ADDRESS);
        await client.connect(HELD_SERVER.ips[0]!, port);
        held.push({ owner, client, server: await listener.accept() });
      }
    }
    changing = false;
    const totals = await traffic;

    for (const { client, server } of held) {
      await client.send(11);
      await server.receive(11);
      await server.send(22);
      await client.receive(22);
      await client.close();
      await server.receiveRest();
      await server.close();
    }
    await peer.end();

    const owners = [...new Set(OWNERS)];
    const expected = owners.map((owner) => held.filter((connection) => connection.owner === owner).length);
    for (const reporter of ['source', 'destination']) {
      await eventually(async () => {
        const page = await agent.scrape();
        const each = (name: string, destination: string): number[] =>
          owners.map((owner) => sum(page, name, owner, destination, reporter));
        const all = (name: string): number => each(name, DIALLED.name).reduce((a, b) => a + b, 0);
        expect(each('istio_tcp_connections_opened_total', HELD_SERVER.name)).toEqual(expected);
        expect(each('istio_tcp_connections_closed_total', HELD_SERVER.name)).toEqual(expected);
        expect(each('istio_tcp_received_bytes_total', HELD_SERVER.name)).toEqual(expected.map((n) => 11 * n));
        expect(each('istio_tcp_sent_bytes_total', HELD_SERVER.name)).toEqual(expected.map((n) => 22 * n));
        expect([
          all('istio_tcp_connections_opened_total'),
          all('istio_tcp_connections_closed_total'),
          all('istio_tcp_received_bytes_total'),
          all('istio_tcp_sent_bytes_total'),
        ]).toEqual([totals.connections, totals.connections, totals.sent, totals.received]);
      });
    }
  }, 300_000);
});
