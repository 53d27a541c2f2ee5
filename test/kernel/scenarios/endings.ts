/** Established connections that end in an orderly way. */
import { EVERYWHERE, LINK_SCOPE, LINKS, LOOPBACK4, LOOPBACKS } from './places.ts';
import { acceptor, BOTH_NORMAL, opener, type Scenario, scenario } from './scenario.ts';

export const ENDINGS: readonly Scenario[] = [
  scenario({
    name: 'client closes first',
    places: [...EVERYWHERE, LINK_SCOPE],
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.conversed();
      const report = await client.close();
      await server.receiveRest();
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'server closes first',
    places: EVERYWHERE,
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.conversed();
      const report = await server.close();
      await client.receiveRest();
      return { client: [await client.close()], server: [report] };
    },
  }),
  scenario({
    name: 'both close at once',
    places: EVERYWHERE,
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.conversed();
      const [atClient, atServer] = await Promise.all([client.close(), server.close()]);
      return { client: [atClient], server: [atServer] };
    },
  }),
  scenario({
    name: 'both close and the FINs cross',
    places: LINKS,
    repeat: 3,
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.conversed();
      const lifts = [await stage.losing('client'), await stage.losing('server')];
      const reports = { client: [await client.close()], server: [await server.close()] };
      for (const lift of lifts) await lift();
      return reports;
    },
  }),
  scenario({
    name: 'half-close, then data the other way',
    places: EVERYWHERE,
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.shutdown('wr');
      await server.receiveRest();
      await server.send(5000);
      const atServer = await server.close();
      await client.receiveRest();
      return { client: [await client.close()], server: [atServer] };
    },
  }),
  scenario({
    name: 'half-close by the server, then data from the client',
    places: [...LINKS, ...LOOPBACKS],
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.conversed();
      await server.shutdown('wr');
      await client.receiveRest();
      await client.send(5000);
      const atClient = await client.close();
      await server.receiveRest();
      return { client: [atClient], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'zero bytes, client closes first',
    places: EVERYWHERE,
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.connected();
      const report = await client.close();
      await server.receiveRest();
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'zero bytes, server closes first',
    places: EVERYWHERE,
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.connected();
      const report = await server.close();
      await client.receiveRest();
      return { client: [await client.close()], server: [report] };
    },
  }),
  scenario({
    name: 'shutdown of both directions, then close',
    places: EVERYWHERE,
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.shutdown('rdwr');
      await server.receiveRest();
      return { client: [await client.close()], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'data after shutdown of the receiving direction',
    places: LINKS,
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.conversed();
      // Linux takes what still comes: the direction is closed for the application only
      await server.shutdown('rd');
      await client.send(100);
      await server.arrived(100);
      await server.receive(100);
      const report = await client.close();
      await server.state('closeWait');
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'close that waits for its data (linger 5)',
    places: LINKS,
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.linger(5);
      await client.send(70_000);
      const [report] = await Promise.all([client.close(), server.receiveRest()]);
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'the data outlives its process: close with a full send queue',
    places: [...LINKS, LOOPBACK4],
    ends: BOTH_NORMAL,
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.stuff(20_000_000);
      const report = await client.close();
      await server.receiveRest();
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'data for a client that has closed and whose kernel still waits (TCP_LINGER2)',
    places: LINKS,
    repeat: 3,
    // the client's kernel resets, and says of its socket that it was reset
    ends: { client: opener('either'), server: acceptor('peer_reset') },
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.option('linger2', 100);
      const report = await client.close();
      await server.state('closeWait');
      await server.send(100);
      await server.state('close');
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'closed without waiting for the peer (TCP_LINGER2 below 0)',
    places: LINKS,
    // the kernel may have heard of the FIN or not when it lets go
    ends: { client: opener('either'), server: acceptor('either') },
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.option('linger2', -1);
      const report = await client.close();
      await server.receiveRest().catch(() => undefined);
      return { client: [report], server: [await server.close()] };
    },
  }),
];
