/** What sockets may do that few programs do. */
import type { EndReport } from '../support/reply.ts';
import { AF_INET } from '../support/socket.ts';
import { EVERYWHERE, LINKS, LOOPBACKS, MAPPED } from './places.ts';
import { BOTH_NORMAL, opener, type Scenario, scenario } from './scenario.ts';
import { portOf } from './stage.ts';

export const UNUSUAL: readonly Scenario[] = [
  scenario({
    name: 'an IPv6 socket turns into an IPv4 one while connected (IPV6_ADDRFORM)',
    places: [MAPPED],
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.option('addrform', AF_INET);
      await client.send(5);
      await server.receive(5);
      const report = await client.close();
      await server.receiveRest();
      return { client: [report], server: [await server.close()] };
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
