/**
 * Where a conformance case plays: two namespaces with a client's and a server's process, virtual addresses translated
 * at the client as kube-proxy does it, istiod with the objects of the cases, and one agent that has its names from it.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Agent, type AgentOptions, NAMES_KNOWN, startAgent } from '../../../kernel/support/agent.ts';
import { undoLater } from '../../../kernel/support/cleanup.ts';
import { eventually } from '../../../kernel/support/eventually.ts';
import { type Link, linkedNamespaces } from '../../../kernel/support/namespace.ts';
import { Peer } from '../../../kernel/support/peer.ts';
import type { Socket } from '../../../kernel/support/socket.ts';
import { type Istiod, startIstiod } from '../../../peers/istiod.ts';
import { type KubernetesObject, yaml } from './objects.ts';

export interface Listener {
  readonly socket: Socket;
  readonly address: string;
  readonly port: number;
}

export interface Connection {
  readonly client: Socket;
  readonly server: Socket;
}

/** An address and a port that are dialled. */
export type Target = Pick<Listener, 'address' | 'port'>;

/** For cases in which all names are known beforehand. */
export const QUICK: AgentOptions = { identity: NAMES_KNOWN };

export class Stage {
  readonly link: Link;
  readonly istiod: Istiod;
  readonly agent: Agent;
  readonly client: Peer;
  readonly server: Peer;
  /** What istiod was told, `kind namespace/name`. */
  readonly #objects: Set<string>;

  private constructor(link: Link, istiod: Istiod, agent: Agent, peers: readonly [Peer, Peer], objects: Set<string>) {
    this.link = link;
    this.istiod = istiod;
    this.agent = agent;
    [this.client, this.server] = peers;
    this.#objects = objects;
  }

  static async open(objects: readonly KubernetesObject[], options: AgentOptions = {}): Promise<Stage> {
    const istiod = await istiodWith(objects);
    const link = await linkedNamespaces();
    const peers = [await Peer.start(link.client), await Peer.start(link.server)] as const;
    // any route will do: where it goes is decided after the translation
    await link.client.exec('ip', 'route', 'add', '10.96.0.0/16', 'via', '10.70.0.72');
    await link.client.exec(
      'nft',
      'add table ip vips; add chain ip vips output { type nat hook output priority -100; }',
    );
    const agent = await startAgent({ ...options, identity: { ...namesFrom(istiod.port), ...options.identity } });
    const stage = new Stage(link, istiod, agent, peers, new Set(objects.map(keyOf)));
    await stage.#isKnown();
    return stage;
  }

  async close(): Promise<void> {
    await this.agent.kill();
    await this.client.kill();
    await this.server.kill();
    await this.istiod.stop();
    this.link.remove();
  }

  /** Resolves when the agent knows of them. What replaces an object of the same name is not waited for. */
  async apply(...objects: readonly KubernetesObject[]): Promise<void> {
    await this.istiod.apply(yaml(objects));
    for (const object of objects) this.#objects.add(keyOf(object));
    await this.#isKnown();
  }

  /** Resolves when the agent knows it. */
  async remove(...objects: readonly KubernetesObject[]): Promise<void> {
    await this.istiod.remove(yaml(objects));
    for (const object of objects) this.#objects.delete(keyOf(object));
    await this.#isKnown();
  }

  async #isKnown(): Promise<void> {
    const count = (...kinds: string[]) => [...this.#objects].filter((key) => kinds.includes(key.split(' ')[0]!)).length;
    const expected = [count('Pod', 'WorkloadEntry'), count('Service', 'ServiceEntry')];
    await eventually(async () => {
      const page = await this.agent.scrape();
      const known = (kind: string) => page.sum('tcpledger_identity_objects', { source: 'istiod', kind });
      expect([known('workload'), known('service')]).toEqual(expected);
    });
  }

  async listen(address: string, port = 0): Promise<Listener> {
    const socket = await this.server.socket(address.includes(':') ? 6 : 4);
    await socket.option('reuseaddr', 1);
    await socket.bind(address, port);
    return { socket, address, port: await socket.listen() };
  }

  /** A client's socket, bound and not yet connected. */
  async caller(from: string): Promise<Socket> {
    const socket = await this.client.socket(from.includes(':') ? 6 : 4);
    await socket.option('noport', 1);
    await socket.bind(from);
    return socket;
  }

  async connect(from: string, listener: Listener, dialled: Target = listener): Promise<Connection> {
    const client = await this.caller(from);
    await client.connect(dialled.address, dialled.port);
    return { client, server: await listener.socket.accept() };
  }

  /** A whole connection: 11 bytes there, 22 back, the client closes. Resolves to the client's address and port. */
  async converse(from: string, listener: Listener, dialled: Target = listener): Promise<string> {
    const connection = await this.connect(from, listener, dialled);
    await exchange(connection);
    return hangUp(connection);
  }

  /** Connections to the virtual address go to the backends in turn. */
  async translate({ address, port }: Target, backends: readonly Target[]): Promise<void> {
    const turns = backends.map((backend, i) => `${i} : ${backend.address} . ${backend.port}`).join(', ');
    const [only] = backends;
    const to =
      backends.length === 1
        ? `dnat to ${only!.address}:${only!.port}`
        : `dnat ip to numgen inc mod ${backends.length} map { ${turns} }`;
    await this.link.client.exec('nft', `add rule ip vips output ip daddr ${address} tcp dport ${port} ${to}`);
  }
}

/** istiod that starts with these objects. */
async function istiodWith(objects: readonly KubernetesObject[]): Promise<Istiod> {
  const directory = mkdtempSync(join(tmpdir(), 'tcpledger-conformance-'));
  const removeDirectory = undoLater(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'objects.yaml');
  writeFileSync(file, yaml(objects));
  const istiod = await startIstiod({ objects: file });
  removeDirectory();
  return istiod;
}

/** Configuration of the processor: all names are from the control plane at that port. */
export function namesFrom(port: number, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    sources: ['istiod'],
    istiod: { endpoint: `127.0.0.1:${port}`, tls: { insecure: true }, token_file: '', ...more },
  };
}

const keyOf = ({ kind, metadata }: KubernetesObject): string => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`;

/** 11 bytes there, 22 back. */
export async function exchange({ client, server }: Connection): Promise<void> {
  await client.send(11);
  await server.receive(11);
  await server.send(22);
  await client.receive(22);
}

/** The client closes first. Resolves to its address and port. */
export async function hangUp({ client, server }: Connection): Promise<string> {
  const { local } = await client.close();
  await server.receiveRest();
  await server.close();
  return local;
}
