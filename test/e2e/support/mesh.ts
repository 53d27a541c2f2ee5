/**
 * A small mesh without a mesh: pods in two network namespaces, services before some of them, a client that is no pod and
 * a backend that nobody knows. Virtual addresses are translated at the client as kube-proxy does it, one by a program on
 * connect as Cilium and Kmesh do it.
 */
import { makeCgroup } from '../../kernel/support/cgroup.ts';
import { balance } from '../../kernel/support/connect-program.ts';
import type { TestService, TestWorkload } from '../../kernel/support/identity-file.ts';
import { linkedNamespaces } from '../../kernel/support/namespace.ts';
import { translate } from '../../kernel/support/nat.ts';
import { Peer } from '../../kernel/support/peer.ts';
import type { Socket } from '../../kernel/support/socket.ts';

export const NAMESPACE = 'ledger';
export const ELSEWHERE = 'elsewhere';

export const fqdn = (service: string): string => `${service}.${NAMESPACE}.svc.cluster.local`;

const SERVICE_PORT = 9080;
const TARGET_PORT = 8080;

export interface MeshPod {
  /** Its Deployment, service account and label `app`. */
  readonly workload: string;
  /** Tells it from others of the Deployment. */
  readonly suffix: 'a' | 'b';
  readonly namespace: string;
  readonly ip: string;
  /** The service that it backs. */
  readonly service?: ServiceName;
}

type ServiceName = 'reviews' | 'ratings' | 'details' | 'legacy';

export interface MeshService {
  readonly name: ServiceName | 'details-headless';
  /** Absent: headless. */
  readonly vip?: string;
  /** It is before the same pods. */
  readonly twinOf?: ServiceName;
}

const pod = (workload: string, ip: string, service?: ServiceName, suffix: 'a' | 'b' = 'a'): MeshPod => ({
  workload,
  suffix,
  namespace: workload === 'probe' ? ELSEWHERE : NAMESPACE,
  ip,
  ...(service && { service }),
});

const REVIEWS = [pod('reviews-v1', '10.72.9.1', 'reviews'), pod('reviews-v1', '10.72.9.3', 'reviews', 'b')] as const;
const RATINGS = pod('ratings-v1', '10.72.9.2', 'ratings');
const DETAILS = pod('details-v1', '10.72.9.4', 'details');

export const PODS: readonly MeshPod[] = [
  pod('shopper', '10.71.9.1'),
  pod('probe', '10.71.9.2'),
  ...REVIEWS,
  RATINGS,
  DETAILS,
];

/** Whom no list has: a client outside of the mesh, and what is behind legacy. */
const [OUTSIDE, NOBODY] = ['10.71.9.8', '10.72.9.9'];

export const podsBehind = ({ name, twinOf }: MeshService): readonly MeshPod[] =>
  PODS.filter(({ service }) => service === (twinOf ?? name));

/** Port of the service → port of its pods. Who dials a pod dials the pod's port, so a headless service has that one. */
export const portsOf = ({ vip }: MeshService): Readonly<Record<number, number>> => ({
  [vip === undefined ? TARGET_PORT : SERVICE_PORT]: TARGET_PORT,
});

export const SERVICES: readonly MeshService[] = [
  { name: 'reviews', vip: '10.96.0.10' },
  { name: 'ratings' },
  { name: 'details', vip: '10.96.0.12' },
  { name: 'details-headless', twinOf: 'details' },
  { name: 'legacy', vip: '10.96.0.11' },
];

export interface Edge {
  /** `unknown` for the client from outside. */
  readonly client: 'shopper' | 'probe' | 'reviews-v1' | 'unknown';
  readonly service: ServiceName;
  /** `unknown` for legacy's. */
  readonly workload: string;
  /** What the client dials: a virtual address that is translated, one that its socket loses on connect, or a pod. */
  readonly dials: 'vip' | 'balanced' | 'pod';
}

/** Each between another pair. */
export const EDGES: readonly Edge[] = [
  { client: 'shopper', service: 'reviews', workload: 'reviews-v1', dials: 'vip' },
  { client: 'shopper', service: 'ratings', workload: 'ratings-v1', dials: 'pod' },
  { client: 'probe', service: 'reviews', workload: 'reviews-v1', dials: 'vip' },
  { client: 'probe', service: 'legacy', workload: 'unknown', dials: 'vip' },
  { client: 'probe', service: 'details', workload: 'details-v1', dials: 'balanced' },
  { client: 'reviews-v1', service: 'details', workload: 'details-v1', dials: 'pod' },
  { client: 'unknown', service: 'reviews', workload: 'reviews-v1', dials: 'vip' },
];

export interface Connection {
  readonly client: Socket;
  readonly server: Socket;
}

export interface Mesh {
  /** As the file source is told of it. */
  readonly workloads: readonly TestWorkload[];
  readonly services: readonly TestService[];
  /** To the pods of a service in turn. */
  connect(edge: Pick<Edge, 'client' | 'service' | 'dials'>): Promise<Connection>;
  /** A port of ratings-v1 at which nobody listens. */
  refused(): Promise<void>;
  remove(): Promise<void>;
}

export async function createMesh(): Promise<Mesh> {
  const link = await linkedNamespaces();
  const client = await Peer.start(link.client);
  const balanced = await Peer.start(link.client);
  const server = await Peer.start(link.server);
  const listeners: Readonly<Record<ServiceName, readonly Listener[]>> = {
    reviews: [await listening(server, REVIEWS[0].ip), await listening(server, REVIEWS[1].ip)],
    ratings: [await listening(server, RATINGS.ip)],
    details: [await listening(server, DETAILS.ip)],
    legacy: [await listening(server, NOBODY!)],
  };
  const vips = new Map(SERVICES.map(({ name, vip }) => [name, { host: vip ?? '', port: SERVICE_PORT }]));
  for (const name of ['reviews', 'legacy'] as const) {
    const vip = vips.get(name)!;
    // any route will do: where it goes is decided after the translation
    await link.client.exec('ip', 'route', 'add', vip.host, 'via', '10.70.0.72');
    await translate(link.client, 'output', vip, listeners[name]);
  }
  const cgroup = makeCgroup('balanced');
  balanced.joinCgroup(cgroup.directory);
  const unbalance = await balance(cgroup.directory, vips.get('details')!, listeners.details[0]!);

  const addressOf = (name: Edge['client']) =>
    name === 'unknown' ? OUTSIDE! : PODS.find(({ workload }) => workload === name)!.ip;
  const turns = new Map<ServiceName, number>();
  return {
    workloads: PODS.map((each) => ({
      name: `${each.workload}-${each.suffix}`,
      owner: each.workload,
      namespace: each.namespace,
      ips: [each.ip],
      services: Object.fromEntries(
        SERVICES.filter((service) => podsBehind(service).includes(each)).map((service) => [
          service.name,
          portsOf(service),
        ]),
      ),
    })),
    services: SERVICES.map((service) => ({
      name: service.name,
      vips: service.vip === undefined ? [] : [`/${service.vip}`],
      ports: portsOf(service),
    })),
    async connect(edge) {
      const turn = turns.get(edge.service) ?? 0;
      turns.set(edge.service, turn + 1);
      const listener = listeners[edge.service][turn % listeners[edge.service].length]!;
      const { host, port } = edge.dials === 'pod' ? listener : vips.get(edge.service)!;
      const peer = edge.dials === 'balanced' ? balanced : edge.client === 'reviews-v1' ? server : client;
      const socket = await dial(peer, addressOf(edge.client), host, port);
      return { client: socket, server: await listener.socket.accept() };
    },
    async refused() {
      const closed = await listening(server, RATINGS.ip, 0);
      await closed.socket.close();
      await dial(client, addressOf('shopper'), RATINGS.ip, closed.port).then(
        () => {
          throw new Error(`somebody listens at ${RATINGS.ip}:${closed.port}`);
        },
        () => undefined,
      );
    },
    async remove() {
      unbalance();
      for (const peer of [client, balanced, server]) await peer.kill();
      link.remove();
      cgroup.remove();
    },
  };
}

interface Listener {
  readonly socket: Socket;
  readonly host: string;
  readonly port: number;
}

async function listening(server: Peer, host: string, port = TARGET_PORT): Promise<Listener> {
  const socket = await server.socket(4);
  await socket.bind(host, port);
  return { socket, host, port: await socket.listen() };
}

async function dial(peer: Peer, from: string, to: string, port: number): Promise<Socket> {
  const socket = await peer.socket(4);
  await socket.option('noport', 1);
  await socket.bind(from);
  await socket.connect(to, port);
  return socket;
}

/** 11 bytes there, 22 back, or so many times as many. */
export async function exchange({ client, server }: Connection, times = 1): Promise<void> {
  await client.send(11 * times);
  await server.receive(11 * times);
  await server.send(22 * times);
  await client.receive(22 * times);
}

/** The client closes first. */
export async function close({ client, server }: Connection): Promise<void> {
  await client.close();
  await server.receiveRest();
  await server.close();
}
