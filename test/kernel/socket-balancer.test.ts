/**
 * A load balancer on the socket, as Cilium's and Kmesh's: the client's socket shows the backend alone, and what its
 * application dialled is known from the program on connect, wherever in the hierarchy the balancer is attached (before
 * Linux 6.15: where it is attached at the root).
 */
import { isIPv6 } from 'node:net';
import { release } from 'node:os';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from './support/agent.ts';
import { type Cgroup, cgroupRoot, makeCgroup } from './support/cgroup.ts';
import { balance, type Endpoint } from './support/connect-program.ts';
import { eventually } from './support/eventually.ts';
import { pairsOfCgroup } from './support/index-map.ts';
import { type Link, linkedNamespaces } from './support/namespace.ts';
import { Peer } from './support/peer.ts';
import type { Socket } from './support/socket.ts';
import { describeOnKernel } from './support/suite.ts';

const SERVER = { name: 'server', ips: ['10.72.9.1', 'fd72::9:1'] } as const;
const [SERVER4, SERVER6] = SERVER.ips;
const VIP4 = { host: '10.74.0.1', port: 80 };
const VIP6 = { host: 'fd74::1', port: 86 };
const VIP_REFUSED = { host: '10.74.0.1', port: 81 };
/** Nobody listens there: below the ports that a bind to 0 gives. */
const CLOSED_PORT = 7;

const CLIENTS = ['below-root', 'below-ancestor', 'own', 'ipv6', 'refused', 'unbalanced', 'unspecified'] as const;
type Client = (typeof CLIENTS)[number];

const SHOP = 'shop.ledger.svc.cluster.local';
/** Whether a program at the root can be put in front of one that is attached below (BPF_F_PREORDER, Linux 6.15). */
const [major, minor] = release().split('.').map(Number) as [number, number];
const COMES_FIRST = major > 6 || (major === 6 && minor >= 15);

/** Of the services with the backend's port the first: what a server's end says, and a client's that dials no VIP. */
const BY_PORT = 'backends.ledger.svc.cluster.local';

describeOnKernel('a load balancer on the socket', () => {
  const cgroups = new Map<Client, Cgroup>();
  const lifts: (() => void)[] = [];
  let ancestor: Cgroup;
  let link: Link;
  let client: Peer;
  let server: Peer;
  let listener4: Socket;
  let listener6: Socket;
  let backend4: Endpoint;
  let backend6: Endpoint;
  let agent: Agent;

  beforeAll(async () => {
    ancestor = makeCgroup('ancestor');
    for (const name of CLIENTS) cgroups.set(name, makeCgroup(name, ancestor));
    link = await linkedNamespaces();
    client = await Peer.start(link.client);
    server = await Peer.start(link.server);
    listener4 = await server.socket(4);
    await listener4.bind(SERVER4);
    backend4 = { host: SERVER4, port: await listener4.listen() };
    listener6 = await server.socket(6);
    await listener6.bind(SERVER6);
    backend6 = { host: SERVER6, port: await listener6.listen() };
    const ports = { [VIP4.port]: backend4.port, [VIP6.port]: backend6.port, [VIP_REFUSED.port]: CLOSED_PORT };
    const same = { [backend4.port]: backend4.port, [backend6.port]: backend6.port };
    agent = await startAgent({
      workloads: [
        ...CLIENTS.map((name) => ({ name, cgroupPaths: [cgroups.get(name)!.path] })),
        { ...SERVER, services: { shop: ports, backends: same } },
      ],
      services: [
        { name: 'shop', vips: [`/${VIP4.host}`, `/${VIP6.host}`], ports },
        { name: 'backends', vips: ['/10.74.0.2'], ports: same },
      ],
    });
  });

  afterEach(() => {
    for (const lift of lifts.splice(0)) lift();
    client.joinCgroup(cgroupRoot());
  });

  afterAll(async () => {
    await client?.kill();
    await server?.kill();
    link?.remove();
    await agent?.kill();
    for (const cgroup of cgroups.values()) cgroup.remove();
    ancestor?.remove();
  });

  const playing = (name: Client): void => client.joinCgroup(cgroups.get(name)!.directory);
  const pairsOf = (name: Client) => pairsOfCgroup(agent.pid, cgroups.get(name)!.id);

  /** 11 bytes there, 22 back, from an address that no other client has: by it the server's end is joined to this one. */
  async function converse(name: Client, dialled: Endpoint, listener: Socket): Promise<void> {
    const number = CLIENTS.indexOf(name) + 1;
    const family = isIPv6(dialled.host) ? 6 : 4;
    const socket = await client.socket(family);
    await socket.option('noport', 1);
    await socket.bind(family === 6 ? `fd71::9:${number}` : `10.71.9.${number}`);
    await socket.connect(dialled.host, dialled.port);
    const accepted = await listener.accept();
    await socket.send(11);
    await accepted.receive(11);
    await accepted.send(22);
    await socket.receive(22);
    await socket.close();
    await accepted.receiveRest();
    await accepted.close();
  }

  /** All that the page has of this client: by reporter, whom it reached, as which service, and how often and how much. */
  const account = async (name: Client): Promise<unknown[]> => {
    const page = await agent.scrape();
    const opened = page.select('istio_tcp_connections_opened_total', { source_workload: name });
    return opened.map(({ labels, value }) => {
      const sum = (metric: string, more: Record<string, string> = {}) => page.sum(metric, { ...labels, ...more });
      return [
        labels.reporter,
        labels.destination_workload,
        labels.destination_service,
        value,
        sum('istio_tcp_connections_closed_total'),
        sum('istio_tcp_received_bytes_total'),
        sum('istio_tcp_sent_bytes_total'),
      ];
    });
  };

  /** Two conversations, as both ends tell them. */
  async function expectBoth(name: Client, service: string): Promise<void> {
    await eventually(async () => {
      expect((await account(name)).sort()).toEqual([
        ['destination', 'server', BY_PORT, 2, 2, 22, 44],
        ['source', 'server', service, 2, 2, 22, 44],
      ]);
    });
  }

  test.for([
    { name: 'below-root', where: () => cgroupRoot(), isSeen: true },
    { name: 'below-ancestor', where: () => ancestor.directory, isSeen: COMES_FIRST },
    { name: 'own', where: () => cgroups.get('own')!.directory, isSeen: COMES_FIRST },
  ] as const)('attached above or at the client: $name', async ({ name, where, isSeen }) => {
    const service = isSeen ? SHOP : BY_PORT;
    lifts.push(await balance(where(), VIP4, backend4));
    playing(name);
    await converse(name, VIP4, listener4);
    await converse(name, VIP4, listener4);
    await expectBoth(name, service);
    const dialled = isSeen ? `${VIP4.host}:${VIP4.port}` : undefined;
    expect(await pairsOf(name)).toEqual([{ role: 'source', remote: `${SERVER4}:${backend4.port}`, dialled }]);
    await eventually(() => {
      const own = agent
        .log()
        .map(({ fields }) => fields)
        .filter((fields) => fields['src.workload'] === name);
      const outbound = own.filter(({ direction }) => direction === 'outbound');
      const told = outbound.map((fields) => [fields['dst.addr'], fields['dst.service'], fields['dst.workload']]);
      expect(told).toEqual(Array(2).fill([`${SERVER4}:${backend4.port}`, service, 'server']));
    });
  });

  test('IPv6', async () => {
    lifts.push(await balance(ancestor.directory, VIP6, backend6));
    playing('ipv6');
    await converse('ipv6', VIP6, listener6);
    await converse('ipv6', VIP6, listener6);
    await expectBoth('ipv6', COMES_FIRST ? SHOP : BY_PORT);
    const dialled = COMES_FIRST ? `${VIP6.host}:${VIP6.port}` : undefined;
    expect(await pairsOf('ipv6')).toEqual([{ role: 'source', remote: `${SERVER6}:${backend6.port}`, dialled }]);
  });

  test('a backend that refuses', async () => {
    lifts.push(await balance(ancestor.directory, VIP_REFUSED, { host: SERVER4, port: CLOSED_PORT }));
    playing('refused');
    const socket = await client.socket(4);
    await expect(socket.connect(VIP_REFUSED.host, VIP_REFUSED.port)).rejects.toMatchObject({ errno: 'ECONNREFUSED' });
    await socket.close();
    await eventually(async () => {
      expect(await account('refused')).toEqual([['source', 'server', SHOP, 1, 0, 0, 0]]);
      const failures = (await agent.scrape()).select('tcp_connect_failures_total', { source_workload: 'refused' });
      const told = failures.filter(({ value }) => value > 0).map(({ labels, value }) => [labels.error_type, value]);
      expect(told).toEqual([['connection_refused', 1]]);
    });
  });

  test('a balancer that has nothing to say: one pair, without a dialled address', async () => {
    lifts.push(await balance(ancestor.directory, VIP4, backend4));
    playing('unbalanced');
    await converse('unbalanced', backend4, listener4);
    await converse('unbalanced', backend4, listener4);
    await expectBoth('unbalanced', BY_PORT);
    expect(await pairsOf('unbalanced')).toEqual([
      { role: 'source', remote: `${SERVER4}:${backend4.port}`, dialled: undefined },
    ]);
  });

  test('the unspecified address is loopback, and no balancer has put it there', async () => {
    playing('unspecified');
    for (const [family, dialled, loopback] of [
      [4, '0.0.0.0', '127.0.0.1'],
      [6, '::', '::1'],
      [6, '::ffff:0.0.0.0', '127.0.0.1'],
    ] as const) {
      const listener = await client.socket(loopback === '::1' ? 6 : 4);
      await listener.bind(loopback);
      const port = await listener.listen();
      const socket = await client.socket(family);
      await socket.connect(dialled, port);
      await socket.close();
      const pairs = (await pairsOf('unspecified')).filter(
        ({ role, remote }) => role === 'source' && remote === `${loopback}:${port}`,
      );
      expect(pairs).toEqual([{ role: 'source', remote: `${loopback}:${port}`, dialled: undefined }]);
    }
    expect((await pairsOf('unspecified')).filter((pair) => pair.dialled !== undefined)).toEqual([]);
  });
});
