/** Listeners: whose they are, how many connections wait for accept, what is dropped when no more may. */
import { readlinkSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bpfObjectPath } from '../../src/build-info.ts';
import type { Kernel } from '../../src/receiver/kernel.ts';
import { openKernelState } from '../../src/receiver/kernel-state.ts';
import { createListenerReader, type Listener } from '../../src/receiver/listeners.ts';
import { openKernel } from '../../src/receiver/open-kernel.ts';
import { eventually } from './support/eventually.ts';
import { type Link, linkedNamespaces } from './support/namespace.ts';
import { Peer } from './support/peer.ts';
import type { Socket } from './support/socket.ts';
import { describeOnKernel } from './support/suite.ts';

const HOST = '10.72.9.1';
const BACKLOG = 3;

describeOnKernel('listeners', () => {
  let link: Link;
  let client: Peer;
  let server: Peer;
  let older: { socket: Socket; port: number };
  let kernel: Kernel;
  let netns: number;

  beforeAll(async () => {
    link = await linkedNamespaces();
    client = await Peer.start(link.client);
    server = await Peer.start(link.server);
    const socket = await server.socket(4);
    await socket.bind(HOST);
    older = { socket, port: await socket.listen(7) };
    netns = Number(/\d+/.exec(readlinkSync(`/proc/${server.pid}/ns/net`))![0]);
    kernel = await openKernel({
      objectPath: bpfObjectPath(),
      maxPairs: 64,
      maxConnections: 1024,
      ringBytes: 65536,
      loopback: true,
      adopt: true,
      pinPath: '',
      connectHooks: false,
      onAttaching: () => {},
    });
  });

  afterAll(async () => {
    await kernel?.close();
    await client?.kill();
    await server?.kill();
    link?.remove();
  });

  /** Those of the server's namespace, as of now. */
  async function listeners(): Promise<Listener[]> {
    expect(await kernel.settle()).toBe(0);
    const read = createListenerReader(kernel.layouts.listener);
    return kernel
      .listeners()
      .map(read)
      .filter((listener) => listener.netns === netns);
  }
  const at = async (port: number) => (await listeners()).find((listener) => listener.port === port);

  /** ListenDrops of the server's namespace. */
  async function listenDrops(): Promise<number> {
    const lines = (await link.server.exec('cat', '/proc/net/netstat')).split('\n');
    const [names, values] = lines.filter((line) => line.startsWith('TcpExt:')).map((line) => line.split(' '));
    return Number(values![names!.indexOf('ListenDrops')]);
  }

  async function listen(backlog: number): Promise<{ socket: Socket; port: number }> {
    const socket = await server.socket(4);
    await socket.bind(HOST);
    return { socket, port: await socket.listen(backlog) };
  }

  async function dial(port: number): Promise<Socket> {
    const socket = await client.socket(4);
    await socket.start(HOST, port);
    return socket;
  }

  test('one that is older than the kernel half', async () => {
    const found = await at(older.port);
    expect(found).toMatchObject({ localAddress: HOST, pid: server.pid, queue: 0, queueLimit: 7, drops: 0 });
    expect(found!.executable).not.toBe('');
    await older.socket.close();
    expect(await at(older.port)).toBeUndefined();
  });

  test('the queue is what nobody has accepted, the limit what listen asked for', async () => {
    const { socket, port } = await listen(BACKLOG);
    expect(await at(port)).toMatchObject({ localAddress: HOST, pid: server.pid, queue: 0, queueLimit: BACKLOG });
    for (let waiting = 1; waiting <= BACKLOG; waiting++) {
      const dialler = await client.socket(4);
      await dialler.connect(HOST, port);
      await socket.backlog(waiting);
      expect((await at(port))!.queue).toBe(waiting);
    }
    for (let waiting = BACKLOG; waiting > 0; waiting--) {
      await socket.accept();
      expect((await at(port))!.queue).toBe(waiting - 1);
    }
    await socket.close();
  });

  test('the limit is no more than somaxconn', async () => {
    const somaxconn = Number(await link.server.exec('cat', '/proc/sys/net/core/somaxconn'));
    const { socket, port } = await listen(2 * somaxconn);
    expect((await at(port))!.queueLimit).toBe(somaxconn);
    await socket.close();
  });

  test('what finds the queue full is dropped and counted, as ListenDrops counts it', async () => {
    const before = await listenDrops();
    const { socket, port } = await listen(BACKLOG);
    // one more than the limit is let in
    for (let i = 0; i <= BACKLOG; i++) await dial(port);
    await socket.backlog(BACKLOG + 1);
    for (let i = 0; i < 5; i++) await dial(port);
    await eventually(async () => {
      // SYNs come again: the two are compared when none came in between
      const earlier = await listenDrops();
      const found = await at(port);
      const later = await listenDrops();
      expect(later).toBe(earlier);
      expect(found).toMatchObject({ queue: BACKLOG + 1, drops: later - before });
      expect(found!.drops).toBeGreaterThanOrEqual(5);
    });
    await socket.close();
  });

  test('one that was never bound has its port at the next settle', async () => {
    const socket = await server.socket(4);
    const port = await socket.listen(BACKLOG);
    expect(await at(port)).toMatchObject({ localAddress: '0.0.0.0', pid: server.pid });
    await socket.close();
    expect(await at(port)).toBeUndefined();
  });

  test('one that listens, closes and listens again is there once; none is left in the end', async () => {
    for (let i = 0; i < 3; i++) {
      const { socket, port } = await listen(BACKLOG);
      expect((await listeners()).filter((listener) => listener.port === port)).toHaveLength(1);
      await socket.close();
    }
    expect(await listeners()).toEqual([]);
    const state = openKernelState(kernel.state, kernel.layouts.state);
    expect([state.errors('owners_update'), state.errors('listeners_update')]).toEqual([0, 0]);
  });
});
