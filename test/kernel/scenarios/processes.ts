/** The processes that hold a socket: they die, share it, pass it on, go elsewhere. */
import { EVERYWHERE, LINKS, LOOPBACKS } from './places.ts';
import { acceptor, BOTH_NORMAL, opener, type Scenario, scenario } from './scenario.ts';

export const PROCESSES: readonly Scenario[] = [
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
];
