/** One named client and one named server, each a process in a namespace of its own: enough for most tests. */
import { type Link, linkedNamespaces } from './namespace.ts';
import { Peer } from './peer.ts';
import type { Socket } from './socket.ts';

export const CLIENT = { name: 'client', ips: ['10.71.9.1'] } as const;
export const SERVER = { name: 'server', ips: ['10.72.9.1'] } as const;

export interface PairOfPeers {
  readonly link: Link;
  readonly client: Peer;
  readonly server: Peer;
  readonly port: number;
  /** A connection between the two. */
  connect(): Promise<{ client: Socket; server: Socket }>;
  remove(): Promise<void>;
}

export async function pairOfPeers(): Promise<PairOfPeers> {
  const link = await linkedNamespaces();
  const client = await Peer.start(link.client);
  const server = await Peer.start(link.server);
  const listener = await server.socket(4);
  await listener.bind(SERVER.ips[0]);
  const port = await listener.listen();
  return {
    link,
    client,
    server,
    port,
    async connect() {
      const socket = await client.socket(4);
      await socket.option('noport', 1);
      await socket.bind(CLIENT.ips[0]);
      await socket.connect(SERVER.ips[0], port);
      return { client: socket, server: await listener.accept() };
    },
    async remove() {
      await client.kill();
      await server.kill();
      link.remove();
    },
  };
}
