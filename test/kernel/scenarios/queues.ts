/** What happens before accept: connections that no process has held yet, and queues that are full. */

import type { EndReport } from '../support/reply.ts';
import { EVERYWHERE, IPV4, LINKS, LOOPBACK4 } from './places.ts';
import { acceptor, BOTH_NORMAL, failure, mirrored, opener, type Scenario, scenario } from './scenario.ts';
import { portOf } from './stage.ts';

export const QUEUES: readonly Scenario[] = [
  scenario({
    name: 'accepted after the client has gone',
    places: EVERYWHERE,
    ends: BOTH_NORMAL,
    async play(stage) {
      const { socket, port } = await stage.listener();
      const client = await stage.dialler();
      await client.connect(stage.dialHost, port);
      await client.send(11);
      await client.acknowledged();
      const report = await client.close();
      const server = await socket.accept();
      await server.receiveRest();
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'never accepted: the client closes, then the listener',
    places: EVERYWHERE,
    // whether the client's kernel still has a socket when the reset comes is its own affair
    ends: { client: opener('either'), server: acceptor('local_reset') },
    async play(stage) {
      const listener = await stage.bound();
      const port = await listener.listen();
      const client = await stage.dialler();
      await client.connect(stage.dialHost, port);
      await client.send(11);
      await client.acknowledged();
      const report = await client.close();
      await listener.close();
      return { client: [report], server: [mirrored(report)] };
    },
  }),
  scenario({
    name: 'never accepted: the listener closes, the client is reset',
    places: EVERYWHERE,
    ends: { client: opener('peer_reset'), server: acceptor('local_reset') },
    async play(stage) {
      const listener = await stage.bound();
      const port = await listener.listen();
      const client = await stage.dialler();
      await client.connect(stage.dialHost, port);
      await client.send(11);
      await client.acknowledged();
      await listener.backlog(1);
      await listener.close();
      await client.state('close');
      const report = await client.close();
      return { client: [report], server: [mirrored(report)] };
    },
  }),
  scenario({
    name: 'never accepted: the client resets, then the listener closes',
    places: LINKS,
    ends: { client: opener('local_reset'), server: acceptor('peer_reset') },
    async play(stage) {
      const listener = await stage.bound();
      const port = await listener.listen();
      const client = await stage.dialler();
      await client.connect(stage.dialHost, port);
      await client.send(11);
      await client.acknowledged();
      await client.linger(0);
      const report = await client.close();
      await listener.close();
      return { client: [report], server: [mirrored(report)] };
    },
  }),
  scenario({
    name: 'the queue of connections is full: the SYN is dropped',
    places: [...LINKS, LOOPBACK4],
    repeat: 1,
    ends: { ...BOTH_NORMAL, late: failure('timed_out') },
    async play(stage) {
      const listener = await stage.bound();
      // a backlog of 0 holds one
      const port = await listener.listen(0);
      const first = await stage.dialler();
      await first.connect(stage.dialHost, port);
      await listener.backlog(1);
      const late: EndReport[] = [];
      const more = await Promise.all(Array.from({ length: 4 }, () => stage.dialler()));
      for (const socket of more) {
        await socket.option('syncnt', 1);
        await socket.start(stage.dialHost, port);
      }
      for (const socket of more) {
        await socket.outcome().catch(() => undefined);
        late.push(await socket.close());
      }
      const server = await listener.accept();
      const report = await first.close();
      await server.receiveRest();
      const atServer = await server.close();
      await listener.close();
      return { client: [report], server: [atServer], late };
    },
  }),
  scenario({
    name: 'the queue fills during the handshake and overflow aborts (tcp_abort_on_overflow)',
    places: LINKS,
    repeat: 3,
    isolated: ({ server }) => server.sysctl('net.ipv4.tcp_abort_on_overflow', '1'),
    // the client was established and has sent, the server never had a socket for it
    ends: { ...BOTH_NORMAL, late: opener('peer_reset') },
    async play(stage) {
      const listener = await stage.bound();
      const port = await listener.listen(0);
      const lateSocket = await stage.diallerWithPort();
      const latePort = portOf((await lateSocket.info()).local);
      const lift = await stage.losing('server', `tcp sport ${latePort} tcp flags ack / syn,ack`);
      await lateSocket.connect(stage.dialHost, port);
      const first = await stage.dialler();
      await first.connect(stage.dialHost, port);
      await listener.backlog(1);
      await lift();
      await lateSocket.send(10);
      await lateSocket.state('close');
      const late = await lateSocket.close();
      const server = await listener.accept();
      const report = await first.close();
      await server.receiveRest();
      const atServer = await server.close();
      await listener.close();
      return { client: [report], server: [atServer], late: [late] };
    },
  }),
  scenario({
    name: 'accept deferred until data (TCP_DEFER_ACCEPT)',
    places: LINKS,
    ends: BOTH_NORMAL,
    async play(stage) {
      const listener = await stage.bound();
      await listener.option('defer_accept', 30);
      const port = await listener.listen();
      const client = await stage.dialler();
      await client.connect(stage.dialHost, port);
      await client.send(11);
      const server = await listener.accept();
      await server.receive(11);
      const report = await client.close();
      await server.receiveRest();
      const atServer = await server.close();
      await listener.close();
      return { client: [report], server: [atServer] };
    },
  }),
  scenario({
    name: 'accept deferred and no data ever',
    places: LINKS,
    ends: BOTH_NORMAL,
    async play(stage) {
      const listener = await stage.bound();
      await listener.option('defer_accept', 30);
      const port = await listener.listen();
      const client = await stage.dialler();
      await client.connect(stage.dialHost, port);
      const report = await client.close();
      const server = await listener.accept();
      await server.receiveRest();
      const atServer = await server.close();
      await listener.close();
      return { client: [report], server: [atServer] };
    },
  }),
  scenario({
    name: 'SYN cookies',
    places: LINKS,
    isolated: ({ server }) => server.sysctl('net.ipv4.tcp_syncookies', '2'),
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.conversed();
      const report = await client.close();
      await server.receiveRest();
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'several listeners on one port (SO_REUSEPORT)',
    places: EVERYWHERE,
    repeat: 2,
    ends: BOTH_NORMAL,
    async play(stage) {
      const first = await stage.bound({ shared: true });
      const port = await first.listen();
      const listeners = [first];
      for (let i = 0; i < 2; i++) {
        const another = await stage.bound({ peer: await stage.spare('server'), port, shared: true });
        await another.listen();
        listeners.push(another);
      }
      const reports = { client: [] as EndReport[], server: [] as EndReport[] };
      for (let i = 0; i < 12; i++) {
        const client = await stage.dialler();
        await client.connect(stage.dialHost, port);
        await client.send(i);
        reports.client.push(await client.close());
      }
      for (const listener of listeners) {
        while ((await listener.pending()) > 0) {
          const server = await listener.accept();
          await server.receiveRest();
          reports.server.push(await server.close());
        }
        await listener.close();
      }
      return reports;
    },
  }),
  scenario({
    name: 'reset before the accept, then accepted',
    places: [IPV4],
    ends: { client: opener('local_reset'), server: acceptor('peer_reset') },
    async play(stage) {
      const { socket, port } = await stage.listener();
      const client = await stage.dialler();
      await client.connect(stage.dialHost, port);
      await client.send(11);
      await client.acknowledged();
      await client.linger(0);
      const report = await client.close();
      const server = await socket.accept();
      // the socket has forgotten its peer by then
      return { client: [report], server: [{ ...(await server.close()), remote: report.local }] };
    },
  }),
];
