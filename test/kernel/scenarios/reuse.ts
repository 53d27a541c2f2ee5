/** One socket after another on the same addresses, one connection after another on the same socket. */
import { setTimeout as delay } from 'node:timers/promises';
import type { EndReport } from '../support/reply.ts';
import { IPV4, LINKS, LOOPBACKS } from './places.ts';
import { acceptor, BOTH_NORMAL, opener, type Scenario, scenario } from './scenario.ts';
import { portOf } from './stage.ts';

/** TCP_REPAIR_QUEUE */
const RECEIVE_QUEUE = 1;
const SEND_QUEUE = 2;

export const REUSE: readonly Scenario[] = [
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
    name: 'a socket that both sides have ended is used again',
    places: LINKS,
    ends: BOTH_NORMAL,
    async play(stage) {
      const first = await stage.conversed(await stage.diallerWithPort());
      const firstServer = await first.server.close();
      await first.client.receiveRest();
      await first.client.shutdown('wr');
      await first.client.state('close');
      const firstClient = await first.client.info();
      await first.client.disconnect();
      // its receiving end was done by a FIN: that must not take a byte from the second connection
      const { client, server } = await stage.conversed(first.client);
      const report = await client.close();
      await server.receiveRest();
      return { client: [firstClient, report], server: [firstServer, await server.close()] };
    },
  }),
  scenario({
    name: 'a listener becomes a client',
    places: LINKS,
    ends: BOTH_NORMAL,
    async play(stage) {
      const socket = await stage.diallerWithPort();
      await socket.listen();
      await socket.shutdown('rdwr');
      const { client, server } = await stage.conversed(socket);
      const report = await client.close();
      await server.receiveRest();
      return { client: [report], server: [await server.close()] };
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
    name: 'closed silently by checkpoint (TCP_REPAIR)',
    places: LINKS,
    // no segment tells the peer, which learns of it when it speaks
    ends: { client: opener('local_reset'), server: acceptor('peer_reset') },
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
    ends: { saved: opener('local_reset'), client: opener(), server: acceptor() },
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
];
