/** Payload, by every call that moves it. */
import { eventually } from '../support/eventually.ts';
import type { Socket } from '../support/socket.ts';
import { EVERYWHERE, IPV4, LINKS, LOOPBACK4, type Place } from './places.ts';
import { acceptor, BOTH_NORMAL, opener, type Reports, type Scenario, scenario } from './scenario.ts';
import type { Connected } from './stage.ts';

/** The client closes first, the server reads up to the end. */
async function ended({ client, server }: Connected): Promise<Reports<'client' | 'server'>> {
  const report = await client.close();
  await server.receiveRest();
  return { client: [report], server: [await server.close()] };
}

function exchange(
  name: string,
  places: readonly Place[],
  move: (pair: Connected) => Promise<void>,
  repeat?: number,
): Scenario {
  return scenario({
    name,
    places,
    ...(repeat === undefined ? {} : { repeat }),
    ends: BOTH_NORMAL,
    async play(stage) {
      const pair = await stage.connected();
      await move(pair);
      return ended(pair);
    },
  });
}

export const TRANSFERS: readonly Scenario[] = [
  scenario({
    name: "bytes that the machine's own packet filter refuses for a while",
    places: LINKS,
    repeat: 2,
    ends: BOTH_NORMAL,
    async play(stage) {
      const pair = await stage.conversed();
      const lift = await stage.clientNamespace.filter('output', `${stage.towards('server')} drop`);
      await pair.client.send(5_000);
      // the kernel's bytes_sent counts each attempt
      await eventually(async () => {
        const { kernelSent } = await pair.client.info();
        if (kernelSent === undefined || kernelSent <= 5_011) throw new Error(`only ${kernelSent} bytes tried`);
      });
      await lift();
      await pair.server.receive(5_000);
      const { client, server } = await ended(pair);
      // so it is no witness here
      return { client: client.map(({ kernelSent: _, ...report }) => report), server };
    },
  }),
  exchange('one byte', EVERYWHERE, async ({ client, server }) => {
    await client.send(1);
    await server.receive(1);
  }),
  exchange('one byte, and one byte back, many times', LINKS, async ({ client, server }) => {
    for (let i = 0; i < 20; i++) {
      await client.send(1);
      await server.receive(1);
      await server.send(1);
      await client.receive(1);
    }
  }),
  exchange(
    'a million bytes each way at once',
    EVERYWHERE,
    async ({ client, server }) => {
      await Promise.all([client.exchange(1_000_000, 1_000_001), server.exchange(1_000_001, 1_000_000)]);
    },
    4,
  ),
  exchange('server speaks only', LINKS, async ({ client, server }) => {
    await server.send(12_345);
    await client.receive(12_345);
  }),
  ...(['sendfile', 'splice', 'zerocopy'] as const).map((call) =>
    exchange(call, [...LINKS, LOOPBACK4], async ({ client, server }) => {
      await Promise.all([client.send(300_000, call), server.receive(300_000)]);
    }),
  ),
  exchange('received into nothing (MSG_TRUNC)', LINKS, async ({ client, server }) => {
    await Promise.all([client.send(300_000), server.receive(300_000, 'discard')]);
  }),
  exchange('corked, with a rest that close sends', LINKS, async ({ client }) => {
    await client.option('cork', 1);
    await client.send(100);
    await client.send(200);
  }),
  exchange('a small receive buffer: the window closes and opens', LINKS, async ({ client, server }) => {
    await server.option('rcvbuf', 4096);
    await Promise.all([client.send(200_000), server.receive(200_000)]);
  }),
  exchange('an urgent byte, read out of band', LINKS, async ({ client, server }) => {
    // urgent data has its place in the sequence: ten bytes are ten bytes
    await client.send(10, 'oob');
    await server.arrived(9);
    await server.urgent();
    await client.send(5);
    await server.receive(14);
  }),
  exchange('an urgent byte, read in line', LINKS, async ({ client, server }) => {
    await server.option('oobinline', 1);
    await client.send(10, 'oob');
    await client.send(5);
    await server.receive(15);
  }),
  scenario({
    name: 'an urgent byte that nobody reads',
    places: LINKS,
    // the queue's length ends before the urgent byte
    ends: { client: opener(), server: acceptor() },
    async play(stage) {
      const { client, server } = await stage.connected();
      await client.send(10, 'oob');
      await server.receive(9);
      await client.acknowledged();
      const report = await client.close();
      await server.receiveRest();
      const atServer = await server.close();
      return { client: [report], server: [{ ...atServer, read: atServer.read + 1 }] };
    },
  }),
  scenario({
    name: 'fast open',
    places: EVERYWHERE,
    isolated: async ({ client, server }) => {
      await client.sysctl('net.ipv4.tcp_fastopen', '3');
      await server.sysctl('net.ipv4.tcp_fastopen', '3');
    },
    ends: BOTH_NORMAL,
    async play(stage) {
      const listener = await stage.bound();
      await listener.option('fastopen', 16);
      const port = await listener.listen();
      const client = [];
      const server = [];
      // the first one asks for the cookie, the others send by it
      for (let i = 0; i < 3; i++) {
        const dialler = await stage.dialler();
        await dialler.fastOpen(stage.dialHost, port, 11);
        const accepted = await listener.accept();
        await accepted.receive(11);
        await accepted.send(22);
        await dialler.receive(22);
        const report = await dialler.close();
        if (i > 0 && !report.fastOpen) throw new Error('the data was not in the SYN: not this scenario');
        client.push(report);
        await accepted.receiveRest();
        server.push(await accepted.close());
      }
      await listener.close();
      return { client, server };
    },
  }),
  scenario({
    name: 'fast open: the server answers and closes before the handshake ends',
    places: [IPV4],
    repeat: 3,
    isolated: async ({ client, server }) => {
      await client.sysctl('net.ipv4.tcp_fastopen', '3');
      await server.sysctl('net.ipv4.tcp_fastopen', '3');
    },
    ends: BOTH_NORMAL,
    async play(stage) {
      const listener = await stage.bound();
      await listener.option('fastopen', 16);
      const port = await listener.listen();
      const round = async (during: (dialler: Socket) => Promise<Reports<'client' | 'server'>>) => {
        const dialler = await stage.dialler();
        await dialler.fastOpen(stage.dialHost, port, 11);
        return during(dialler);
      };
      const forCookie = await round(async (client) => {
        const server = await listener.accept();
        await server.receive(11);
        return ended({ client, server });
      });
      const lift = await stage.losing('server', 'tcp flags ack / syn,ack');
      const early = await round(async (client) => {
        const server = await listener.accept();
        await server.receive(11);
        await server.send(22);
        const atServer = await server.close();
        await lift();
        await client.receiveRest();
        return { client: [await client.close()], server: [atServer] };
      });
      await listener.close();
      return {
        client: [...forCookie.client, ...early.client],
        server: [...forCookie.server, ...early.server],
      };
    },
  }),
  scenario({
    name: 'fast open: the client resets before the handshake ends',
    places: [IPV4],
    repeat: 3,
    isolated: async ({ client, server }) => {
      await client.sysctl('net.ipv4.tcp_fastopen', '3');
      await server.sysctl('net.ipv4.tcp_fastopen', '3');
    },
    ends: {
      forCookie: opener(),
      servedCookie: acceptor(),
      client: opener('local_reset'),
      server: acceptor('peer_reset'),
    },
    async play(stage) {
      const listener = await stage.bound();
      await listener.option('fastopen', 16);
      const port = await listener.listen();
      const first = await stage.dialler();
      await first.fastOpen(stage.dialHost, port, 11);
      const served = await listener.accept();
      await served.receive(11);
      const forCookie = await ended({ client: first, server: served });
      // its acknowledgements are lost, its reset is not
      const lift = await stage.losing('server', 'tcp flags ack / syn,ack,rst');
      const client = await stage.dialler();
      await client.fastOpen(stage.dialHost, port, 11);
      const server = await listener.accept();
      await server.receive(11);
      await client.linger(0);
      const atClient = await client.close();
      await server.state('close');
      const atServer = await server.close();
      await lift();
      await listener.close();
      return {
        forCookie: forCookie.client,
        servedCookie: forCookie.server,
        client: [atClient],
        server: [atServer],
      };
    },
  }),
  scenario({
    name: 'fast open is asked for and not granted: the data is sent again',
    places: LINKS,
    isolated: ({ client }) => client.sysctl('net.ipv4.tcp_fastopen', '5'),
    ends: BOTH_NORMAL,
    async play(stage) {
      // bit 4 of the sysctl: data in the SYN without a cookie; this server knows nothing of it
      const { socket, port } = await stage.listener();
      const client = await stage.dialler();
      await client.fastOpen(stage.dialHost, port, 11);
      const server = await socket.accept();
      await server.receive(11);
      return ended({ client, server });
    },
  }),
  ...(
    [
      ['MPTCP', 'mptcp', 'mptcp'],
      ['MPTCP client, TCP server', 'mptcp', 'tcp'],
      ['TCP client, MPTCP server', 'tcp', 'mptcp'],
    ] as const
  ).map(([name, atClient, atServer]) =>
    scenario({
      name,
      places: LINKS,
      // the ledger shows the subflow, whose end is the MPTCP worker's business
      ends: { client: opener('either'), server: acceptor('either') },
      missing: async (namespace) =>
        (await namespace.exec('sysctl', '-n', 'net.mptcp.enabled').catch(() => '0')).trim() === '1'
          ? undefined
          : 'this kernel has no MPTCP',
      async play(stage) {
        const listener = await stage.bound({ kind: atServer });
        const port = await listener.listen();
        const client = await stage.dialler(stage.client, atClient);
        await client.connect(stage.dialHost, port);
        const server = await listener.accept();
        await client.send(11);
        await server.receive(11);
        await server.send(22);
        await client.receive(22);
        const reports = await ended({ client, server });
        await listener.close();
        if (atClient === atServer && !reports.client[0]!.multipath) throw new Error('plain TCP: not this scenario');
        return reports;
      },
    }),
  ),
];
