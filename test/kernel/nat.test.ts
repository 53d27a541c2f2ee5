/**
 * Services the way kube-proxy makes them: the kernel translates addresses behind the sockets' backs. The client's socket
 * shows the VIP and the server's the backend, so neither says all by itself. Client ports are in no pair, so that which
 * backend a connection met is told by its server's end alone, unless all behind the VIP are one workload.
 */
import { isIPv6 } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, NAMES_KNOWN, startAgent } from './support/agent.ts';
import type { Endpoint } from './support/connect-program.ts';
import { eventually } from './support/eventually.ts';
import { type Route, routedNamespaces } from './support/namespace.ts';
import { masquerade, translate, translateByIptables } from './support/nat.ts';
import { Peer } from './support/peer.ts';
import type { Socket } from './support/socket.ts';
import { describeOnKernel } from './support/suite.ts';

const CLIENT = { name: 'client', ips: ['10.71.9.1', 'fd71::9:1'] } as const;
const [CLIENT4, CLIENT6] = CLIENT.ips;
/** Of all VIPs. */
const PORT = 80;
const MASKED_CLIENT4 = '10.71.9.2';

interface Case {
  readonly vip: string;
  readonly pods: readonly { readonly name: string; readonly owner: string; readonly ip: string }[];
}

/** By service. */
const CASES = {
  single: { vip: '10.74.0.1', pods: [{ name: 'single-pod', owner: 'single', ip: '10.72.9.1' }] },
  'single-v6': { vip: 'fd74::2', pods: [{ name: 'single-v6-pod', owner: 'single-v6', ip: 'fd72::9:1' }] },
  near: { vip: '10.74.0.3', pods: [{ name: 'near-pod', owner: 'near', ip: '10.72.9.2' }] },
  replicas: {
    vip: '10.74.0.4',
    pods: [
      { name: 'replicas-a', owner: 'replicas', ip: '10.72.9.3' },
      { name: 'replicas-b', owner: 'replicas', ip: '10.72.9.4' },
    ],
  },
  older: {
    vip: '10.74.0.8',
    pods: [
      { name: 'older-a', owner: 'older', ip: '10.72.9.9' },
      { name: 'older-b', owner: 'older', ip: '10.72.9.10' },
    ],
  },
  versions: {
    vip: '10.74.0.5',
    pods: [
      { name: 'versions-pod-1', owner: 'versions-v1', ip: '10.72.9.5' },
      { name: 'versions-pod-2', owner: 'versions-v2', ip: '10.72.9.6' },
    ],
  },
  masked: { vip: '10.74.0.6', pods: [{ name: 'masked-pod', owner: 'masked', ip: '10.72.9.7' }] },
  hairpin: { vip: '10.74.0.7', pods: [{ name: 'hairpin-pod', owner: 'hairpin', ip: '10.72.9.8' }] },
} as const satisfies Record<string, Case>;
type Service = keyof typeof CASES;
const SERVICES = Object.keys(CASES) as Service[];

const hostname = (service: Service): string => `${service}.ledger.svc.cluster.local`;

describeOnKernel('services by address translation', () => {
  const listeners = new Map<Service, Socket[]>();
  const backends = new Map<Service, Endpoint[]>();
  let route: Route;
  let client: Peer;
  let server: Peer;
  let agent: Agent;

  beforeAll(async () => {
    route = await routedNamespaces();
    client = await Peer.start(route.client);
    server = await Peer.start(route.server);
    for (const service of SERVICES) await serve(service);
    agent = await startAgent({
      identity: NAMES_KNOWN,
      workloads: [
        CLIENT,
        { name: 'masked-client', ips: [MASKED_CLIENT4] },
        ...SERVICES.flatMap((service) =>
          CASES[service].pods.map(({ name, owner, ip }) => ({
            name,
            owner,
            ips: [ip],
            services: { [service]: portsOf(service) },
          })),
        ),
      ],
      services: SERVICES.map((service) => ({
        name: service,
        vips: [`/${CASES[service].vip}`],
        ports: portsOf(service),
      })),
    });
    for (const service of SERVICES) {
      const { vip } = CASES[service];
      const [namespace, hook] =
        service === 'near' ? [route.client, 'output' as const] : [route.router, 'prerouting' as const];
      const how = service === 'older' ? translateByIptables : translate;
      await how(namespace, hook, { host: vip, port: PORT }, backends.get(service)!);
    }
    await masquerade(route.router, MASKED_CLIENT4, CASES.masked.pods[0].ip);
    await masquerade(route.router, CASES.hairpin.pods[0].ip, CASES.hairpin.pods[0].ip);
  });

  afterAll(async () => {
    await client?.kill();
    await server?.kill();
    route?.remove();
    await agent?.kill();
  });

  const portsOf = (service: Service) => ({ [PORT]: backends.get(service)![0]!.port });

  /** All pods of a service listen on one port, as a service's target port is one. */
  async function serve(service: Service): Promise<void> {
    const sockets: Socket[] = [];
    let port = 0;
    for (const { ip } of CASES[service].pods) {
      const listener = await server.socket(isIPv6(ip) ? 6 : 4);
      await listener.bind(ip, port);
      port = await listener.listen();
      sockets.push(listener);
    }
    listeners.set(service, sockets);
    backends.set(
      service,
      CASES[service].pods.map(({ ip }) => ({ host: ip, port })),
    );
  }

  /** 11 bytes there, 22 back, once with each pod. */
  async function converse(service: Service, from: string, peer = client): Promise<void> {
    const { vip } = CASES[service];
    for (const listener of listeners.get(service)!) {
      const socket = await peer.socket(isIPv6(vip) ? 6 : 4);
      await socket.option('noport', 1);
      await socket.bind(from);
      await socket.connect(vip, PORT);
      await socket.send(11);
      const accepted = await listener.accept();
      await accepted.receive(11);
      await accepted.send(22);
      await socket.receive(22);
      await socket.close();
      await accepted.receiveRest();
      await accepted.close();
    }
  }

  /** All that the page has of a service: by reporter, who reached whom, and how often and how much. */
  async function expectAccount(service: Service, expected: readonly unknown[]): Promise<void> {
    await eventually(async () => {
      const page = await agent.scrape();
      const series = page.select('istio_tcp_connections_opened_total', { destination_service: hostname(service) });
      const rows = series.map(({ labels, value }) => [
        `${labels.reporter}: ${labels.source_workload} → ${labels.destination_workload}`,
        value,
        page.sum('istio_tcp_connections_closed_total', labels),
        page.sum('istio_tcp_received_bytes_total', labels),
        page.sum('istio_tcp_sent_bytes_total', labels),
      ]);
      expect(rows.sort()).toEqual(expected);
    });
  }

  /** Pods as the access log names them: direction, client, server. */
  async function expectPods(service: Service, expected: readonly unknown[]): Promise<void> {
    await eventually(() => {
      const lines = agent.log().filter(({ fields }) => fields['dst.service'] === hostname(service));
      const pods = lines.map(({ fields }) => [fields.direction, fields['src.workload'], fields['dst.workload']]);
      expect(pods.sort()).toEqual(expected);
    });
  }

  const once = [1, 1, 11, 22] as const;
  const twice = [2, 2, 22, 44] as const;

  test.for([
    { how: 'on a node in between', service: 'single', from: CLIENT4 },
    { how: 'IPv6', service: 'single-v6', from: CLIENT6 },
    { how: "on the client's own way out", service: 'near', from: CLIENT4 },
  ] as const)('one pod, $how: both ends name service, workload and pod', async ({ service, from }) => {
    await converse(service, from);
    await expectAccount(service, [
      [`destination: client → ${service}`, ...once],
      [`source: client → ${service}`, ...once],
    ]);
    await expectPods(service, [
      ['inbound', 'client', `${service}-pod`],
      ['outbound', 'client', `${service}-pod`],
    ]);
  });

  test.for([
    { how: 'nftables', service: 'replicas' },
    { how: 'iptables', service: 'older' },
  ] as const)(
    "two pods of one workload, $how: the client's end names the workload, the server's the pod too",
    async ({ service }) => {
      await converse(service, CLIENT4);
      await expectAccount(service, [
        [`destination: client → ${service}`, ...twice],
        [`source: client → ${service}`, ...twice],
      ]);
      await expectPods(service, [
        ['inbound', 'client', `${service}-a`],
        ['inbound', 'client', `${service}-b`],
        ['outbound', 'client', service],
        ['outbound', 'client', service],
      ]);
    },
  );

  test("two workloads: the client's end names the service and no workload, the server's end all", async () => {
    await converse('versions', CLIENT4);
    await expectAccount('versions', [
      ['destination: client → versions-v1', ...once],
      ['destination: client → versions-v2', ...once],
      ['source: client → unknown', ...twice],
    ]);
    await expectPods('versions', [
      ['inbound', 'client', 'versions-pod-1'],
      ['inbound', 'client', 'versions-pod-2'],
      ['outbound', 'client', undefined],
      ['outbound', 'client', undefined],
    ]);
  });

  test("a client behind a node's address is unknown to the server", async () => {
    await converse('masked', MASKED_CLIENT4);
    await expectAccount('masked', [
      ['destination: unknown → masked', ...once],
      ['source: masked-client → masked', ...once],
    ]);
    await expectPods('masked', [
      ['inbound', undefined, 'masked-pod'],
      ['outbound', 'masked-client', 'masked-pod'],
    ]);
  });

  test('a pod that reaches itself through its service', async () => {
    await converse('hairpin', CASES.hairpin.pods[0].ip, server);
    await expectAccount('hairpin', [
      ['destination: unknown → hairpin', ...once],
      ['source: hairpin → hairpin', ...once],
    ]);
    await expectPods('hairpin', [
      ['inbound', undefined, 'hairpin-pod'],
      ['outbound', 'hairpin-pod', 'hairpin-pod'],
    ]);
  });
});
