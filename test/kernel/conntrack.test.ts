/**
 * Which of several workloads behind one VIP each connection met. The agent is where a node's agent is: in the network
 * namespace that translates. What the backends themselves have served, by client port, is the truth.
 */
import { isIPv6 } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, type AgentOptions, NAMES_KNOWN, startAgent } from './support/agent.ts';
import type { Endpoint } from './support/connect-program.ts';
import { eventually } from './support/eventually.ts';
import { type Route, routedNamespaces } from './support/namespace.ts';
import { masquerade, translate, translateByIptables } from './support/nat.ts';
import { Peer } from './support/peer.ts';
import type { Socket } from './support/socket.ts';
import { describeOnKernel } from './support/suite.ts';

const CLIENT = { name: 'client', ips: ['10.71.9.1', 'fd71::9:1'] } as const;
const PORT = 80;
const CONNECTIONS = 120;
/** The router's own, towards the client. */
const NODE = '10.70.1.1';
const NODE_PORT = 30_080;

interface Case {
  readonly how: typeof translate;
  readonly vip: string;
  readonly port?: number;
  readonly ips: readonly [string, string];
  /** Of the two pods; each is a workload of its own if it is not given. */
  readonly owner?: string;
}

/** By service. */
const CASES = {
  nft: { how: translate, vip: '10.74.1.1', ips: ['10.72.11.1', '10.72.11.2'] },
  nft6: { how: translate, vip: 'fd74::1:1', ips: ['fd72::11:1', 'fd72::11:2'] },
  iptables: { how: translateByIptables, vip: '10.74.1.2', ips: ['10.72.12.1', '10.72.12.2'] },
  iptables6: { how: translateByIptables, vip: 'fd74::1:2', ips: ['fd72::12:1', 'fd72::12:2'] },
  replicas: { how: translate, vip: '10.74.1.3', ips: ['10.72.13.1', '10.72.13.2'], owner: 'replicas' },
  outside: { how: translate, vip: NODE, port: NODE_PORT, ips: ['10.72.14.1', '10.72.14.2'] },
  masked: { how: translate, vip: '10.74.1.6', ips: ['10.72.17.1', '10.72.17.2'] },
  silent: { how: translate, vip: '10.74.1.4', ips: ['10.72.15.1', '10.72.15.2'] },
  refusing: { how: translate, vip: '10.74.1.5', ips: ['10.72.16.1', '10.72.16.2'] },
} as const satisfies Record<string, Case>;
type Service = keyof typeof CASES;
const SERVICES = Object.keys(CASES) as Service[];

const of = (service: Service): Case => CASES[service];
const hostname = (service: Service): string => `${service}.ledger.svc.cluster.local`;
const podNames = (service: Service): readonly [string, string] => [`${service}-pod-1`, `${service}-pod-2`];

describeOnKernel('several workloads behind one VIP', () => {
  /** By service, in the order of its pods. */
  const listeners = new Map<Service, Socket[]>();
  const ports = new Map<Service, number>();
  let route: Route;
  let client: Peer;
  let server: Peer;
  let agent: Agent;
  /** Sees the same, and is not allowed to ask. */
  let unprivileged: Agent;
  /** Sees the same, and is told not to ask. */
  let incurious: Agent;
  let refused = 0;

  beforeAll(async () => {
    route = await routedNamespaces();
    client = await Peer.start(route.client);
    server = await Peer.start(route.server);
    for (const service of SERVICES) {
      const sockets: Socket[] = [];
      let port = 0;
      for (const ip of of(service).ips) {
        const listener = await server.socket(isIPv6(ip) ? 6 : 4);
        await listener.bind(ip, port);
        port = await listener.listen();
        sockets.push(listener);
      }
      listeners.set(service, sockets);
      ports.set(service, port);
      const endpoints = of(service).ips.map((host): Endpoint => ({ host, port }));
      const { how, vip } = of(service);
      await how(route.router, 'prerouting', { host: vip, port: of(service).port ?? PORT }, endpoints, 'random');
    }
    for (const ip of of('masked').ips) await masquerade(route.router, CLIENT.ips[0], ip);
    const options: AgentOptions = {
      namespace: route.router,
      identity: NAMES_KNOWN,
      workloads: [
        CLIENT,
        ...SERVICES.flatMap((service) =>
          podNames(service).map((name, at) => ({
            name,
            owner: of(service).owner ?? `${service}-v${at + 1}`,
            ips: [of(service).ips[at]!],
            services: { [service]: { [PORT]: ports.get(service)! } },
          })),
        ),
      ],
      services: SERVICES.map((service) => ({
        name: service,
        vips: service === 'outside' ? ['/10.74.1.9'] : [`/${of(service).vip}`],
        ports: { [PORT]: ports.get(service)! },
      })),
    };
    agent = await startAgent(options);
    unprivileged = await startAgent({ ...options, withoutCapabilities: ['net_admin'] });
    incurious = await startAgent({ ...options, identity: { ...NAMES_KNOWN, conntrack: false } });
  });

  afterAll(async () => {
    await client?.kill();
    await server?.kill();
    route?.remove();
    for (const each of [agent, unprivileged, incurious]) await each?.kill();
  });

  async function dial(service: Service): Promise<Socket> {
    const { vip, port = PORT } = of(service);
    const family = isIPv6(vip) ? 6 : 4;
    const socket = await client.socket(family);
    await socket.option('noport', 1);
    await socket.bind(CLIENT.ips[family === 6 ? 1 : 0]);
    await socket.connect(vip, port);
    return socket;
  }

  /** The end that has the connection just made, and the pod it is of. */
  async function accept(service: Service): Promise<{ pod: string; accepted: Socket }> {
    for (const [at, listener] of listeners.get(service)!.entries()) {
      if ((await listener.pending()) > 0) return { pod: podNames(service)[at]!, accepted: await listener.accept() };
    }
    throw new Error(`no pod of ${service} has the connection`);
  }

  /** Makes connections one after the other. By client port, the pod that served it. */
  async function converse(service: Service, count: number, abort = false): Promise<Map<number, string>> {
    const served = new Map<number, string>();
    for (let i = 0; i < count; i++) {
      const socket = await dial(service);
      const { pod, accepted } = await accept(service);
      const { local } = await socket.info();
      served.set(portOf(local), pod);
      await socket.send(11);
      await accepted.receive(11);
      if (abort) await socket.linger(0);
      // by turns either end is the first: only one of them passes through TIME_WAIT
      const [first, second] = i % 2 === 0 || abort ? [socket, accepted] : [accepted, socket];
      await first.close();
      if (!abort) await second.receiveRest();
      await second.close();
    }
    expect(served.size).toBe(count);
    expect([...new Set(served.values())].sort()).toEqual(podNames(service));
    return served;
  }

  const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1));

  /** What the client's records say: by client port, the server's pod. */
  function told(agent: Agent, service: Service, count: number): Promise<Map<number, string>> {
    const { vip, port = PORT } = of(service);
    const address = isIPv6(vip) ? `[${vip}]:${port}` : `${vip}:${port}`;
    return eventually(() => {
      const lines = agent
        .log()
        .filter(({ fields }) => fields.direction === 'outbound' && fields['dst.addr'] === address);
      expect(lines).toHaveLength(count);
      for (const { fields } of lines) expect(fields['src.workload']).toBe('client');
      return new Map(lines.map(({ fields }) => [portOf(`${fields['src.addr']}`), `${fields['dst.workload']}`]));
    });
  }

  const services = (agent: Agent, service: Service): unknown[] =>
    agent
      .log()
      .flatMap(({ fields }) =>
        fields['dst.addr'] === `${of(service).vip}:${of(service).port ?? PORT}` ? [fields['dst.service']] : [],
      );

  test.for(['nft', 'nft6', 'iptables', 'iptables6'] as const)(
    "%s: each record of the client's end names the backend; metrics cannot, and name none",
    async (service) => {
      const served = await converse(service, CONNECTIONS);
      expect(await told(agent, service, CONNECTIONS)).toEqual(served);
      await eventually(async () => {
        const page = await agent.scrape();
        const opened = page.select('istio_tcp_connections_opened_total', {
          reporter: 'source',
          destination_service: hostname(service),
        });
        expect(opened.map(({ labels, value }) => [labels.destination_workload, value])).toEqual([
          ['unknown', CONNECTIONS],
        ]);
      });
      for (const other of [unprivileged, incurious]) {
        const pods = await told(other, service, CONNECTIONS);
        expect(new Set(pods.values())).toEqual(new Set(['undefined']));
      }
    },
  );

  test('pods of one workload: the record names the pod', async () => {
    expect(await told(agent, 'replicas', 0)).toEqual(new Map());
    const served = await converse('replicas', 20);
    expect(await told(agent, 'replicas', 20)).toEqual(served);
    expect(new Set((await told(incurious, 'replicas', 20)).values())).toEqual(new Set(['replicas']));
  });

  test('a client that appears as the node', async () => {
    const served = await converse('masked', 20);
    expect(await told(agent, 'masked', 20)).toEqual(served);
  });

  test('connections that are reset', async () => {
    const before = await told(agent, 'nft', CONNECTIONS);
    const served = await converse('nft', 20, true);
    expect(await told(agent, 'nft', CONNECTIONS + 20)).toEqual(new Map([...before, ...served]));
  });

  test('a port of the node itself: backend, and its service by the target port, as its own end says', async () => {
    const served = await converse('outside', 20);
    expect(await told(agent, 'outside', 20)).toEqual(served);
    expect(new Set(services(agent, 'outside'))).toEqual(new Set([hostname('outside')]));
    expect(new Set(services(incurious, 'outside'))).toEqual(new Set([undefined]));
  });

  test('a backend that never answers is named; of one that refuses conntrack keeps nothing', async () => {
    const lift = await route.server.filter('input', `ip daddr ${of('silent').ips[1]} drop`);
    await listeners.get('refusing')![1]!.close();
    const outcomes = { silent: [] as string[], refusing: [] as string[] };
    for (const service of ['silent', 'refusing'] as const) {
      const sockets: Socket[] = [];
      for (let i = 0; i < 20; i++) {
        const socket = await client.socket(4);
        await socket.option('syncnt', 1);
        await socket.bind(CLIENT.ips[0]);
        await socket.start(of(service).vip, PORT);
        sockets.push(socket);
      }
      for (const socket of sockets) {
        const refused = service === 'refusing' ? 'undefined' : podNames(service)[1];
        outcomes[service].push(
          await socket.outcome().then(
            () => podNames(service)[0],
            () => refused,
          ),
        );
        await socket.close();
      }
    }
    await lift();
    expect(new Set(outcomes.silent)).toEqual(new Set(podNames('silent')));
    refused = outcomes.refusing.filter((pod) => pod === 'undefined').length;
    expect(refused).toBeGreaterThan(0);
    for (const service of ['silent', 'refusing'] as const) {
      const named = await told(agent, service, 20);
      expect([...named.values()].sort()).toEqual(outcomes[service].sort());
    }
    const failed = agent
      .log()
      .filter(({ level, fields }) => level === 'error' && fields['dst.service'] === hostname('silent'));
    expect(new Set(failed.map(({ fields }) => fields['dst.workload']))).toEqual(new Set([podNames('silent')[1]]));
  });

  test('what was asked is counted, and what could not be is said once', async () => {
    const asked = async (agent: Agent, result: string): Promise<number> =>
      (await agent.scrape()).sum('tcpledger_identity_conntrack_total', { result });
    const total = 4 * CONNECTIONS + 6 * 20;
    expect(await asked(agent, 'translated')).toBe(total - refused);
    expect(await asked(agent, 'none')).toBe(refused);
    for (const result of ['other_connection', 'failed', 'unavailable']) expect(await asked(agent, result)).toBe(0);
    expect(await asked(unprivileged, 'unavailable')).toBe(total);
    for (const result of ['translated', 'unavailable']) expect(await asked(incurious, result)).toBe(0);
    for (const quiet of [agent, incurious]) expect(quiet.stderr()).not.toContain('conntrack');
    const lines = unprivileged.stderr().split('\n');
    expect(lines.filter((line) => line.includes('conntrack'))).toEqual([
      expect.stringMatching(
        /warn\tidentity\t.*CAP_NET_ADMIN is missing;.* To have it, grant CAP_NET_ADMIN\. .* set processors\.identity\.conntrack to false$/,
      ),
    ]);
  });

  test('one client port used again and again: each record names its own backend, or none', async () => {
    const before = agent.log().length;
    const served: string[] = [];
    let port = 0;
    for (let i = 0; i < 200; i++) {
      const socket = await client.socket(4);
      await socket.option('reuseaddr', 1);
      await socket.bind(CLIENT.ips[0], port);
      await socket.connect(of('nft').vip, PORT);
      port = portOf((await socket.info()).local);
      const { pod, accepted } = await accept('nft');
      served.push(pod);
      await socket.linger(0);
      await socket.close();
      await accepted.close();
    }
    const told = await eventually(() => {
      const lines = agent.log().slice(before);
      const own = lines.filter(
        ({ fields }) => fields.direction === 'outbound' && portOf(`${fields['src.addr']}`) === port,
      );
      expect(own).toHaveLength(served.length);
      return own.map(({ fields }) => fields['dst.workload']);
    });
    // a backend's name is kept back until no other connection with these ports can have had the entry: only the last is sure
    expect(told.filter((pod, at) => pod !== undefined && pod !== served[at])).toEqual([]);
    expect(told.at(-1)).toBe(served.at(-1));
    expect(told).toContain(undefined);
  });
});
