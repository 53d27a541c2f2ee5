/** Connections that end because the network went silent, or that live through losses. */
import { IPV4, LINKS } from './places.ts';
import { acceptor, BOTH_NORMAL, opener, type Scenario, scenario } from './scenario.ts';

export const TIMEOUTS: readonly Scenario[] = [
  scenario({
    name: 'keepalive finds nobody',
    places: LINKS,
    repeat: 2,
    // the server learns of it when it speaks next
    ends: { client: opener('timeout'), server: acceptor('peer_reset') },
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.option('keepidle', 1);
      await client.option('keepintvl', 1);
      await client.option('keepcnt', 1);
      const lift = await stage.losing('server');
      await client.option('keepalive', 1);
      await client.state('close');
      await lift();
      await server.send(5);
      await server.state('close');
      return { client: [await client.close()], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'data that nobody acknowledges (user timeout)',
    places: LINKS,
    repeat: 2,
    ends: { client: opener('timeout'), server: acceptor('peer_reset') },
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.option('user_timeout', 500);
      const lift = await stage.losing('server');
      await client.send(100);
      await client.state('close');
      await lift();
      await server.send(5);
      await server.state('close');
      return { client: [await client.close()], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'close that nobody acknowledges (orphan, user timeout)',
    places: [IPV4],
    repeat: 2,
    ends: { client: opener('timeout'), server: acceptor('peer_reset') },
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.option('user_timeout', 500);
      const lift = await stage.losing('server');
      await client.send(100);
      const report = await client.close();
      // gone from the table of sockets when the kernel has given it up
      while (await exists(stage.clientNamespace, report.local));
      await lift();
      await server.send(5);
      await server.state('close');
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'losses and retransmissions',
    places: LINKS,
    repeat: 3,
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.conversed();
      const lifts = [
        await stage.losing('client', 'numgen inc mod 5 == 0'),
        await stage.losing('server', 'numgen inc mod 5 == 0'),
      ];
      await Promise.all([client.exchange(1_000_000, 500_000), server.exchange(500_000, 1_000_000)]);
      await client.acknowledged();
      await server.acknowledged();
      for (const lift of lifts) await lift();
      const report = await client.close();
      await server.receiveRest();
      const atServer = await server.close();
      if (!report.retransmitted || !atServer.retransmitted) throw new Error('nothing was lost: not this scenario');
      return { client: [report], server: [atServer] };
    },
  }),
  scenario({
    name: 'losses at the start: the SYN, its answer and the third segment are sent again',
    places: LINKS,
    repeat: 2,
    ends: BOTH_NORMAL,
    async play(stage) {
      const { socket, port } = await stage.listener();
      const client = await stage.dialler();
      const liftSyn = await stage.losing('server', 'tcp flags syn / syn,ack');
      await client.start(stage.dialHost, port);
      const liftThird = await stage.losing('server', 'tcp flags ack / syn,ack');
      await liftSyn();
      await client.outcome();
      await client.send(11);
      await liftThird();
      const server = await socket.accept();
      await server.receive(11);
      const report = await client.close();
      await server.receiveRest();
      return { client: [report], server: [await server.close()] };
    },
  }),
];

async function exists(namespace: { exec(program: string, ...args: string[]): Promise<string> }, local: string) {
  return (await namespace.exec('ss', '-Htan', 'src', local)).trim() !== '';
}
