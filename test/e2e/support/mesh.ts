/**
 * A small mesh without a mesh: two clients, two servers behind services, one service whose backend nobody knows.
 * Virtual addresses are translated at the client, as kube-proxy does it.
 */
import type { TestService, TestWorkload } from '../../kernel/support/identity-file.ts';
import { type Link, linkedNamespaces } from '../../kernel/support/namespace.ts';
import { Peer } from '../../kernel/support/peer.ts';
import type { Socket } from '../../kernel/support/socket.ts';

export const NAMESPACE = 'ledger';
export const REVIEWS_FQDN = 'reviews.ledger.svc.cluster.local';

const SERVICE_PORT = 9080;
const VIP = { reviews: '10.96.0.10', legacy: '10.96.0.11' } as const;
const ADDRESS = {
  shopper: '10.71.9.1',
  probe: '10.71.9.2',
  reviews: '10.72.9.1',
  ratings: '10.72.9.2',
  /** In no workload's list. */
  nobody: '10.72.9.9',
} as const;

export interface Edge {
  readonly client: 'shopper' | 'probe';
  readonly service: 'reviews' | 'ratings' | 'legacy';
  /** Its name; `unknown` for legacy's. */
  readonly workload: string;
}

export const EDGES: readonly Edge[] = [
  { client: 'shopper', service: 'reviews', workload: 'reviews-v1' },
  { client: 'shopper', service: 'ratings', workload: 'ratings-v1' },
  { client: 'probe', service: 'reviews', workload: 'reviews-v1' },
  { client: 'probe', service: 'legacy', workload: 'unknown' },
];

export interface Connection {
  readonly client: Socket;
  readonly server: Socket;
}

export interface Mesh {
  readonly workloads: readonly TestWorkload[];
  readonly services: readonly TestService[];
  connect(edge: Edge): Promise<Connection>;
  /** A port of ratings-v1 at which nobody listens. */
  refused(): Promise<void>;
  remove(): Promise<void>;
}

export async function createMesh(): Promise<Mesh> {
  const link = await linkedNamespaces();
  const client = await Peer.start(link.client);
  const server = await Peer.start(link.server);
  const listeners = {
    reviews: await listening(server, ADDRESS.reviews),
    ratings: await listening(server, ADDRESS.ratings),
    legacy: await listening(server, ADDRESS.nobody),
  };
  await translate(link, VIP.reviews, `${ADDRESS.reviews}:${listeners.reviews.port}`);
  await translate(link, VIP.legacy, `${ADDRESS.nobody}:${listeners.legacy.port}`);
  const dial = async (from: string, to: string, port: number): Promise<Socket> => {
    const socket = await client.socket(4);
    await socket.option('noport', 1);
    await socket.bind(from);
    await socket.connect(to, port);
    return socket;
  };
  const ports = (name: 'reviews' | 'ratings') => ({ [SERVICE_PORT]: listeners[name].port });
  return {
    workloads: [
      { name: 'shopper', ips: [ADDRESS.shopper] },
      { name: 'probe', ips: [ADDRESS.probe], namespace: 'elsewhere' },
      { name: 'reviews-v1', ips: [ADDRESS.reviews], services: { reviews: ports('reviews') } },
      { name: 'ratings-v1', ips: [ADDRESS.ratings], services: { ratings: ports('ratings') } },
    ],
    services: [
      { name: 'reviews', vips: [`/${VIP.reviews}`], ports: ports('reviews') },
      { name: 'ratings', ports: ports('ratings') },
      { name: 'legacy', vips: [`/${VIP.legacy}`], ports: { [SERVICE_PORT]: SERVICE_PORT } },
    ],
    async connect(edge) {
      const listener = listeners[edge.service];
      // ratings has no virtual address: its workload is dialled
      const [address, port] =
        edge.service === 'ratings' ? [ADDRESS.ratings, listener.port] : [VIP[edge.service], SERVICE_PORT];
      const socket = await dial(ADDRESS[edge.client], address, port);
      return { client: socket, server: await listener.socket.accept() };
    },
    async refused() {
      const closed = await listening(server, ADDRESS.ratings);
      await closed.socket.close();
      await dial(ADDRESS.shopper, ADDRESS.ratings, closed.port).then(
        () => {
          throw new Error(`somebody listens at ${ADDRESS.ratings}:${closed.port}`);
        },
        () => undefined,
      );
    },
    async remove() {
      await client.kill();
      await server.kill();
      link.remove();
    },
  };
}

async function listening(server: Peer, host: string): Promise<{ socket: Socket; port: number }> {
  const socket = await server.socket(4);
  await socket.bind(host);
  return { socket, port: await socket.listen() };
}

async function translate({ client }: Link, vip: string, backend: string): Promise<void> {
  // any route will do: where it goes is decided after the translation
  await client.exec('ip', 'route', 'add', vip, 'via', '10.70.0.72');
  await client.exec(
    'nft',
    'add table ip vips; add chain ip vips output { type nat hook output priority -100; }; ' +
      `add rule ip vips output ip daddr ${vip} tcp dport ${SERVICE_PORT} dnat to ${backend}`,
  );
}

/** 11 bytes there, 22 back. */
export async function exchange({ client, server }: Connection): Promise<void> {
  await client.send(11);
  await server.receive(11);
  await server.send(22);
  await client.receive(22);
}

/** The client closes first. */
export async function close({ client, server }: Connection): Promise<void> {
  await client.close();
  await server.receiveRest();
  await server.close();
}
