/** What sockets may do that few programs do: used again, shared, passed on, connected to themselves, taken apart. */
import { setTimeout as delay } from 'node:timers/promises';
import type { EndReport } from '../support/peer.ts';
import { EVERYWHERE, IPV4, LINKS, LOOPBACKS } from './places.ts';
import { acceptor, BOTH_NORMAL, opener, type Scenario, scenario } from './scenario.ts';

const portOf = (address: string): number => Number(address.split(':').at(-1));

/** TCP_REPAIR_QUEUE */
const RECEIVE_QUEUE = 1;
const SEND_QUEUE = 2;

export const UNUSUAL: readonly Scenario[] = [
  scenario({
    name: 'a socket is used again after connect to AF_UNSPEC',
    places: [...LINKS, ...LOOPBACKS],
    ends: { ...BOTH_NORMAL, dropped: opener('local_reset'), droppedServer: acceptor('peer_reset') },
    async play(stage) {
      const first = await stage.conversed(await stage.diallerWithPort());
      const dropped = await first.client.info();
      await first.client.disconnect();
      await first.server.state('close');
      const droppedServer = await first.server.close();
      const { client, server } = await stage.conversed(first.client);
      await client.send(7);
      const report = await client.close();
      await server.receiveRest();
      return { dropped: [dropped], droppedServer: [droppedServer], client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'a socket that was a client becomes a listener',
    places: [IPV4],
    ends: {
      client: opener('local_reset'),
      server: acceptor('peer_reset'),
      // the roles of the hosts are exchanged
      back: opener(),
      backServer: acceptor(),
    },
    async play(stage) {
      const first = await stage.conversed(await stage.diallerWithPort());
      const client = await first.client.info();
      await first.client.disconnect();
      await first.server.state('close');
      const server = await first.server.close();
      const port = await first.client.listen();
      const back = await stage.server.socket(4);
      await back.bind(stage.serverHost);
      await back.connect(stage.clientHost, port);
      const backServer = await first.client.accept();
      await back.send(33);
      const atBack = await back.close();
      await backServer.receiveRest();
      const atBackServer = await backServer.close();
      await first.client.close();
      return { client: [client], server: [server], back: [atBack], backServer: [atBackServer] };
    },
  }),
  scenario({
    name: 'the same four addresses again while the server is in TIME_WAIT',
    places: LINKS,
    ends: BOTH_NORMAL,
    async play(stage) {
      const client: EndReport[] = [];
      const server: EndReport[] = [];
      let port = 0;
      for (let i = 0; i < 3; i++) {
        const pair = await stage.conversed(await stage.diallerWithPort(port));
        server.push(await pair.server.close());
        await pair.client.receiveRest();
        client.push(await pair.client.close());
        port = portOf(client[0]!.local);
      }
      return { client, server };
    },
  }),
  scenario({
    name: 'the same four addresses again while the client is in TIME_WAIT (tcp_tw_reuse)',
    places: LINKS,
    repeat: 1,
    isolated: ({ client }) => client.sysctl('net.ipv4.tcp_tw_reuse', '1'),
    ends: BOTH_NORMAL,
    async play(stage) {
      const client: EndReport[] = [];
      const server: EndReport[] = [];
      let port = 0;
      for (let i = 0; i < 2; i++) {
        const pair = await stage.conversed(await stage.diallerWithPort(port));
        client.push(await pair.client.close());
        await pair.server.receiveRest();
        server.push(await pair.server.close());
        port = portOf(client[0]!.local);
        // the kernel takes a TIME_WAIT apart when its clock of whole seconds has moved
        await delay(1500);
      }
      return { client, server };
    },
  }),
  scenario({
    name: 'simultaneous open: two sockets connect to each other',
    places: LINKS,
    repeat: 2,
    // nobody listened: both have opened it
    ends: { client: opener(), server: opener() },
    async play(stage) {
      const client = await stage.diallerWithPort();
      const server = await stage.bound();
      const [clientPort, serverPort] = [portOf((await client.info()).local), portOf((await server.info()).local)];
      const lifts = [
        await stage.losing('client', `tcp dport ${clientPort}`),
        await stage.losing('server', `tcp dport ${serverPort}`),
      ];
      await client.start(stage.dialHost, serverPort);
      await server.start(stage.clientHost, clientPort);
      for (const lift of lifts) await lift();
      await client.outcome();
      await server.outcome();
      await client.send(11);
      await server.receive(11);
      await server.send(22);
      await client.receive(22);
      const report = await client.close();
      await server.receiveRest();
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'a socket connects to itself',
    places: LOOPBACKS,
    ends: { client: opener() },
    async play(stage) {
      const client = await stage.diallerWithPort();
      await client.connect(stage.clientHost, portOf((await client.info()).local));
      await client.send(9);
      await client.receive(9);
      await client.acknowledged();
      return { client: [await client.close()] };
    },
  }),
  scenario({
    name: 'sockets are passed to other processes (SCM_RIGHTS)',
    places: [...LINKS, ...LOOPBACKS],
    repeat: 4,
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.conversed();
      const [clientHeir, serverHeir] = [await stage.spare('client'), await stage.spare('server')];
      const inheritedClient = await client.passTo(clientHeir);
      const inheritedServer = await server.passTo(serverHeir);
      await inheritedClient.send(5);
      await inheritedServer.receive(5);
      const report = await inheritedClient.close();
      await inheritedServer.receiveRest();
      return { client: [report], server: [await inheritedServer.close()] };
    },
  }),
  scenario({
    name: 'a child shares the socket, writes to it and holds it longest',
    places: [...LINKS, ...LOOPBACKS],
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.conversed();
      const child = await client.inChild('send', 30);
      await server.receive(30);
      const report = await client.close();
      await child.reap();
      await server.receiveRest();
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'the process goes to another namespace, its socket stays',
    places: LINKS,
    repeat: 4,
    ends: { ...BOTH_NORMAL },
    async play(stage) {
      const traveller = await stage.spare('client');
      const socket = await stage.dialler(traveller);
      await traveller.joinNamespace(stage.serverNamespace);
      const { client, server } = await stage.conversed(socket);
      const report = await client.close();
      await server.receiveRest();
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'closed silently by checkpoint (TCP_REPAIR)',
    places: LINKS,
    // no segment tells the peer, which learns of it when it speaks
    ends: { client: opener(undefined), server: acceptor('peer_reset') },
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.option('repair', 1);
      const report = await client.close();
      await server.send(5);
      await server.state('close');
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'checkpoint and restore (TCP_REPAIR)',
    places: LINKS,
    repeat: 3,
    // the server's one connection is two at the client: each socket has what it moved itself
    ends: { saved: opener(undefined), client: opener(), server: acceptor() },
    async play(stage) {
      const { client, server } = await stage.conversed(await stage.diallerWithPort());
      const { local } = await client.info();
      await client.option('repair', 1);
      const sequences: [number, number][] = [];
      for (const queue of [RECEIVE_QUEUE, SEND_QUEUE]) {
        await client.option('repair_queue', queue);
        sequences.push([queue, await client.get('queue_seq')]);
      }
      const saved = await client.close();

      const restored = await stage.client.socket(stage.place.clientFamily);
      await restored.option('repair', 1);
      await restored.option('reuseaddr', 1);
      await restored.bind(stage.clientHost, portOf(local));
      for (const [queue, sequence] of sequences) {
        await restored.option('repair_queue', queue);
        await restored.option('queue_seq', sequence);
      }
      await restored.connect(stage.dialHost, portOf((await server.info()).local));
      await restored.option('repair', 0);
      await restored.send(7);
      await server.receive(7);
      const report = await restored.close();
      await server.receiveRest();
      return { saved: [saved], client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'destroyed by the administrator (ss --kill)',
    places: LINKS,
    repeat: 3,
    ends: { client: opener('local_reset'), server: acceptor('peer_reset') },
    missing: async (namespace) =>
      (await namespace.exec('ss', '-K', 'dst', '192.0.2.1').catch(String)).includes('not supported')
        ? 'this kernel cannot destroy sockets (INET_DIAG_DESTROY)'
        : undefined,
    async play(stage) {
      const { client, server } = await stage.conversed();
      await stage.clientNamespace.exec('ss', '-K', 'src', (await client.info()).local);
      await client.state('close');
      await server.state('close');
      return { client: [await client.close()], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'many at once, closed in another order',
    places: EVERYWHERE,
    repeat: 2,
    ends: BOTH_NORMAL,
    async play(stage) {
      const pairs = [];
      for (let i = 0; i < 40; i++) pairs.push(await stage.conversed());
      const client: EndReport[] = [];
      const server: EndReport[] = [];
      for (const pair of pairs.reverse()) {
        client.push(await pair.client.close());
        await pair.server.receiveRest();
        server.push(await pair.server.close());
      }
      return { client, server };
    },
  }),
];
