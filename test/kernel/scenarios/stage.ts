/** What a scenario is played with: two processes, their addresses, and the moves that most scenarios begin with. */
import type { Namespace } from '../support/namespace.ts';
import { Peer } from '../support/peer.ts';
import type { Socket } from '../support/socket.ts';
import type { Place } from './places.ts';

/** Of `ip:port`. */
export const portOf = (address: string): number => Number(address.split(':').at(-1));

export interface Connected {
  readonly client: Socket;
  readonly server: Socket;
}

export class Stage {
  readonly place: Place;
  readonly client: Peer;
  readonly server: Peer;
  readonly clientNamespace: Namespace;
  readonly serverNamespace: Namespace;
  readonly clientHost: string;
  readonly serverHost: string;
  /** What the client connects to: serverHost, with scope or v4-mapped. */
  readonly dialHost: string;
  readonly #listenHost: string;
  readonly #others: Peer[] = [];
  #listener: { readonly socket: Socket; readonly port: number } | undefined;

  private constructor(place: Place, index: number, peers: [Peer, Peer], namespaces: [Namespace, Namespace]) {
    this.place = place;
    [this.client, this.server] = peers;
    [this.clientNamespace, this.serverNamespace] = namespaces;
    this.clientHost = place.clientHost(index);
    this.serverHost = place.serverHost(index);
    this.dialHost = place.dialHost(index);
    this.#listenHost = place.listenHost(index);
  }

  /** `index` is the case's number: its addresses are its own. */
  static async open(place: Place, index: number, client: Namespace, server: Namespace): Promise<Stage> {
    return new Stage(place, index, [await Peer.start(client), await Peer.start(server)], [client, server]);
  }

  /** Ends all processes, those as well that wait for what will not come. */
  async close(): Promise<void> {
    for (const peer of [this.client, this.server, ...this.#others]) await peer.kill();
  }

  /** One more process at that end. It may be killed. */
  async spare(end: 'client' | 'server'): Promise<Peer> {
    const peer = await Peer.start(end === 'client' ? this.clientNamespace : this.serverNamespace);
    this.#others.push(peer);
    return peer;
  }

  /** A bound socket at the server that does not listen yet. `shared`: others may bind to the same port. */
  async bound(how: { peer?: Peer; kind?: 'tcp' | 'mptcp'; port?: number; shared?: boolean } = {}): Promise<Socket> {
    const socket = await (how.peer ?? this.server).socket(this.place.serverFamily, how.kind);
    await socket.option('reuseaddr', 1);
    if (how.shared) await socket.option('reuseport', 1);
    await socket.bind(this.#listenHost, how.port ?? 0);
    return socket;
  }

  /** The scenario's ordinary listener: one for all its rounds. */
  async listener(): Promise<{ readonly socket: Socket; readonly port: number }> {
    if (this.#listener === undefined) {
      const socket = await this.bound();
      this.#listener = { socket, port: await socket.listen() };
    }
    return this.#listener;
  }

  /** A client's socket with the case's address; its port is the kernel's choice at connect, as with most clients. */
  async dialler(peer = this.client, kind: 'tcp' | 'mptcp' = 'tcp'): Promise<Socket> {
    const socket = await peer.socket(this.place.clientFamily, kind);
    await socket.option('noport', 1);
    await socket.bind(this.#clientBindHost());
    return socket;
  }

  /** A client's socket whose port is its own from the start. */
  async diallerWithPort(port = 0): Promise<Socket> {
    const socket = await this.client.socket(this.place.clientFamily);
    await socket.option('reuseaddr', 1);
    await socket.bind(this.#clientBindHost(), port);
    return socket;
  }

  /** An established connection over the ordinary listener. */
  async connected(client?: Socket): Promise<Connected> {
    const { socket, port } = await this.listener();
    const dialler = client ?? (await this.dialler());
    await dialler.connect(this.dialHost, port);
    return { client: dialler, server: await socket.accept() };
  }

  /** An established connection that has exchanged 11 and 22 bytes, all acknowledged and read. */
  async conversed(client?: Socket): Promise<Connected> {
    const pair = await this.connected(client);
    await pair.client.send(11);
    await pair.server.receive(11);
    await pair.server.send(22);
    await pair.client.receive(22);
    await pair.client.acknowledged();
    await pair.server.acknowledged();
    return pair;
  }

  /** nftables match of what goes from one end's address to the other's. */
  towards(end: 'client' | 'server'): string {
    const [from, to] = end === 'server' ? [this.clientHost, this.serverHost] : [this.serverHost, this.clientHost];
    return `${this.place.network} saddr ${from} ${this.place.network} daddr ${to} meta l4proto tcp`;
  }

  /** Loses what is sent to that end, or what of it matches. Resolves to the function that ends it. */
  async losing(end: 'client' | 'server', match = ''): Promise<() => Promise<void>> {
    const namespace = end === 'client' ? this.clientNamespace : this.serverNamespace;
    return namespace.filter('input', `${this.towards(end)} ${match} drop`);
  }

  #clientBindHost(): string {
    if (this.place.name === 'v4-mapped') return `::ffff:${this.clientHost}`;
    return this.place.dialHost(0).includes('%') ? `${this.clientHost}%eth0` : this.clientHost;
  }
}
