/** Every way in which an established connection ends. */
import { EVERYWHERE, LINK_SCOPE, LINKS, LOOPBACK4, LOOPBACKS } from './places.ts';
import { acceptor, BOTH_NORMAL, opener, type Scenario, scenario, withoutUnsent } from './scenario.ts';

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
    name: 'reset by the client (linger 0)',
    places: EVERYWHERE,
    ends: { client: opener('local_reset'), server: acceptor('peer_reset') },
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.linger(0);
      const report = await client.close();
      await server.state('close');
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'reset by the server (linger 0)',
    places: EVERYWHERE,
    ends: { client: opener('peer_reset'), server: acceptor('local_reset') },
    async play(stage) {
      const { client, server } = await stage.conversed();
      await server.linger(0);
      const report = await server.close();
      await client.state('close');
      return { client: [await client.close()], server: [report] };
    },
  }),
  scenario({
    name: 'reset by unread data at the server',
    places: EVERYWHERE,
    ends: { client: opener('peer_reset'), server: acceptor('local_reset') },
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.send(100);
      await server.arrived(100);
      await client.acknowledged();
      const report = await server.close();
      await client.state('close');
      return { client: [await client.close()], server: [report] };
    },
  }),
  scenario({
    name: 'reset by unread data at the client, which has only looked at it',
    places: LINKS,
    ends: { client: opener('local_reset'), server: acceptor('peer_reset') },
    async play(stage) {
      const { client, server } = await stage.conversed();
      await server.send(100);
      await client.arrived(100);
      await client.peek(100);
      await server.acknowledged();
      const report = await client.close();
      await server.state('close');
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'reset by unread data after the peer has closed',
    places: LINKS,
    // the client's end is in FIN_WAIT2 by then and gone for its application
    ends: { client: opener(), server: acceptor('local_reset') },
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.send(100);
      const report = await client.close();
      await server.state('closeWait');
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'reset by the server after a half-close',
    places: LINKS,
    ends: { client: opener('peer_reset'), server: acceptor('local_reset') },
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.shutdown('wr');
      await client.state('finWait2');
      await server.linger(0);
      const report = await server.close();
      await client.state('close');
      return { client: [await client.close()], server: [report] };
    },
  }),
  scenario({
    name: 'reset by the client after its own half-close',
    places: LINKS,
    // FIN_WAIT2 → CLOSE without an error is what an ordinary end looks like, too
    ends: { client: opener(undefined), server: acceptor('peer_reset') },
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.shutdown('wr');
      await client.state('finWait2');
      await client.linger(0);
      const report = await client.close();
      await server.state('close');
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'reset with a full window: what was never sent is not counted',
    places: LINKS,
    ends: { client: opener('local_reset'), server: acceptor('peer_reset') },
    async play(stage) {
      const { client, server } = await stage.conversed();
      await client.stuff(20_000_000);
      // until the window is closed: all that was sent lies at the server
      for (let report = await client.info(); report.unacked !== report.unsent; ) report = await client.info();
      await client.linger(0);
      const report = withoutUnsent(await client.close());
      await server.state('close');
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'data for a client that has closed (answered by a reset)',
    places: LINKS,
    ends: { client: opener(), server: acceptor('peer_reset') },
    async play(stage) {
      const { client, server } = await stage.conversed();
      const report = await client.close();
      await server.state('closeWait');
      await server.send(100);
      await server.state('close');
      return { client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'server process dies',
    places: EVERYWHERE,
    ends: BOTH_NORMAL,
    repeat: 5,
    async play(stage) {
      const mortal = await stage.spare('server');
      const listener = await stage.bound({ peer: mortal });
      const port = await listener.listen();
      const client = await stage.dialler();
      await client.connect(stage.dialHost, port);
      const server = await listener.accept();
      await client.send(11);
      await server.receive(11);
      await server.send(22);
      const report = await server.info();
      await mortal.kill();
      await client.receiveRest();
      return { client: [await client.close()], server: [report] };
    },
  }),
  scenario({
    name: 'server process dies with data unread',
    places: LINKS,
    repeat: 5,
    ends: { client: opener('peer_reset'), server: acceptor('local_reset') },
    async play(stage) {
      const mortal = await stage.spare('server');
      const listener = await stage.bound({ peer: mortal });
      const port = await listener.listen();
      const client = await stage.dialler();
      await client.connect(stage.dialHost, port);
      const server = await listener.accept();
      await client.send(11);
      await server.arrived(11);
      const report = await server.info();
      await mortal.kill();
      await client.state('close');
      return { client: [await client.close()], server: [report] };
    },
  }),
  scenario({
    name: 'client process dies',
    places: LINKS,
    repeat: 5,
    ends: BOTH_NORMAL,
    async play(stage) {
      const mortal = await stage.spare('client');
      const { client, server } = await stage.conversed(await stage.dialler(mortal));
      const report = await client.info();
      await mortal.kill();
      await server.receiveRest();
      return { client: [report], server: [await server.close()] };
    },
  }),
];
