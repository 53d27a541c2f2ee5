/** Established connections that are reset, by either end and for every reason. */
import { EVERYWHERE, LINKS } from './places.ts';
import { acceptor, opener, type Scenario, scenario, withoutUnsent } from './scenario.ts';

export const RESETS: readonly Scenario[] = [
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
    // the client's application is gone; whether its kernel still has a socket when the reset comes is its own affair
    ends: { client: opener('either'), server: acceptor('local_reset') },
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
    ends: { client: opener('either'), server: acceptor('peer_reset') },
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
    ends: { client: opener('either'), server: acceptor('peer_reset') },
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
];
