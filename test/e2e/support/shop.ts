/** Two pods in containers, a service before one of them, and the count of what they exchanged: an oracle for one node. */
import { expect } from 'vitest';
import type { LogLine } from '../../kernel/support/access-log.ts';
import { type Container, containerNode } from '../../kernel/support/container.ts';
import type { Route } from '../../kernel/support/namespace.ts';
import { translate } from '../../kernel/support/nat.ts';
import type { Page } from '../../kernel/support/prometheus-text.ts';
import type { Socket } from '../../kernel/support/socket.ts';

export const CLIENT_IP = '10.71.9.1';
export const SERVER_IP = '10.72.9.1';
export const WEB = { name: 'web', namespace: 'shop', clusterIp: '10.96.0.10', port: 80, target: 8080 } as const;
export const WEB_SERVICE = 'web.shop.svc.cluster.local';

const [SENT, ANSWERED] = [11, 22];

const FAMILIES = [
  ...['opened', 'closed', 'failed'].map((what) => `istio_tcp_connections_${what}_total`),
  ...['received', 'sent'].map((what) => `istio_tcp_${what}_bytes_total`),
];

/** How the two are called. */
export interface ShopNames {
  readonly client: string;
  readonly server: string;
}

export interface Shop {
  /** Connections since the last move, by what was dialled. */
  readonly made: Readonly<Record<'service' | 'pod' | 'refused', number>>;
  /** Each with 11 bytes there and 22 back, closed by the client. */
  converse(dialled: 'service' | 'pod', times?: number): Promise<void>;
  /** At a port of the server where nobody listens. */
  beRefused(): Promise<void>;
  /** The server moves to another port, off the service: a new pair of peers, and the count begins anew. */
  move(): Promise<void>;
  /** That a page has all that was made, at both ends. */
  expectOn(page: Page, names: ShopNames): void;
  /** Lines of the log that are about the two. */
  linesOf(log: readonly LogLine[]): LogLine[];
  remove(): Promise<void>;
}

/** The pods' network is the route's: who dials the service goes through the node, which translates. */
export async function openShop(route: Route, clientUid: string, serverUid: string): Promise<Shop> {
  const vip = { host: WEB.clusterIp, port: WEB.port };
  await translate(route.router, 'prerouting', vip, [{ host: SERVER_IP, port: WEB.target }]);
  const node = containerNode();
  const client = await node.start({ podUid: clientUid, driver: 'cgroupfs', network: route.client });
  const server = await node.start({ podUid: serverUid, driver: 'cgroupfs', network: route.server });
  const listen = async (port: number): Promise<Socket> => {
    const socket = await server.peer.socket(4);
    await socket.bind(SERVER_IP, port);
    await socket.listen();
    return socket;
  };
  let port: number = WEB.target;
  let listener = await listen(port);
  const made = { service: 0, pod: 0, refused: 0 };

  async function exchange(dialled: 'service' | 'pod'): Promise<void> {
    const near = await clientSocket(client);
    if (dialled === 'service') await near.connect(WEB.clusterIp, WEB.port);
    else await near.connect(SERVER_IP, port);
    const far = await listener.accept();
    await near.send(SENT);
    await far.receive(SENT);
    await far.send(ANSWERED);
    await near.receive(ANSWERED);
    await near.close();
    await far.receiveRest();
    await far.close();
    made[dialled]++;
  }

  return {
    made,
    async converse(dialled, times = 1) {
      for (let i = 0; i < times; i++) await exchange(dialled);
    },
    async beRefused() {
      const near = await clientSocket(client);
      await expect(near.connect(SERVER_IP, port + 1)).rejects.toThrow('ECONNREFUSED');
      await near.close();
      made.refused++;
    },
    async move() {
      await listener.close();
      port += 10;
      listener = await listen(port);
      Object.assign(made, { service: 0, pod: 0, refused: 0 });
    },
    expectOn(page, names) {
      const established = made.service + made.pod;
      const counted = (reporter: string) => {
        const labels = { reporter, source_workload: names.client, destination_workload: names.server };
        return FAMILIES.map((name) => page.sum(name, labels));
      };
      const bytes = [SENT * established, ANSWERED * established];
      const attempts = established + made.refused;
      expect({ source: counted('source'), destination: counted('destination') }).toEqual({
        source: [attempts, attempts, made.refused, ...bytes],
        destination: [established, established, 0, ...bytes],
      });
    },
    linesOf: (log) => log.filter(({ fields }) => String(fields['src.addr']).startsWith(`${CLIENT_IP}:`)),
    async remove() {
      for (const container of [client, server]) await container.remove();
      node.remove();
    },
  };
}

async function clientSocket({ peer }: Container): Promise<Socket> {
  const socket = await peer.socket(4);
  await socket.bind(CLIENT_IP);
  return socket;
}
