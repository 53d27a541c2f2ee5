/** Connections that never establish. */

import { type EndReport, PeerError } from '../support/reply.ts';
import type { Socket } from '../support/socket.ts';
import { EVERYWHERE, IPV4, IPV6, LINKS, LOOPBACKS } from './places.ts';
import { BOTH_NORMAL, failure, type Scenario, scenario } from './scenario.ts';
import { portOf, type Stage } from './stage.ts';

/** What the packet filter answers instead of the server, and what becomes of it. */
const REJECTS = [
  { place: IPV4, answer: 'tcp reset', errorType: 'connection_refused' },
  { place: IPV6, answer: 'tcp reset', errorType: 'connection_refused' },
  { place: IPV4, answer: 'icmp type port-unreachable', errorType: 'connection_refused' },
  { place: IPV6, answer: 'icmpv6 type port-unreachable', errorType: 'connection_refused' },
  { place: IPV4, answer: 'icmp type host-unreachable', errorType: 'host_unreachable' },
  { place: IPV6, answer: 'icmpv6 type addr-unreachable', errorType: 'host_unreachable' },
  { place: IPV4, answer: 'icmp type net-unreachable', errorType: 'network_unreachable' },
  { place: IPV6, answer: 'icmpv6 type no-route', errorType: 'network_unreachable' },
  { place: IPV4, answer: 'icmp type admin-prohibited', errorType: 'host_unreachable' },
  { place: IPV6, answer: 'icmpv6 type admin-prohibited', errorType: 'EACCES' },
] as const;

/** A connect that has to fail; what it failed with is in the agent's account, not in this one's. */
async function failed(attempt: Promise<void>): Promise<void> {
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error === undefined) throw new Error('connected, where it had to fail');
  if (!(error instanceof PeerError)) throw error;
}

/** Starts to connect and waits for the failure. */
async function attempt(stage: Stage, socket: Socket, port: number): Promise<EndReport> {
  await failed(socket.start(stage.dialHost, port).then(() => socket.outcome()));
  return socket.close();
}

export const FAILURES: readonly Scenario[] = [
  scenario({
    name: 'refused',
    places: EVERYWHERE,
    ends: { client: failure('connection_refused') },
    async play(stage) {
      const nobody = await stage.bound();
      const port = portOf((await nobody.info()).local);
      const report = await attempt(stage, await stage.dialler(), port);
      await nobody.close();
      return { client: [report] };
    },
  }),
  scenario({
    name: 'refused, blocking connect',
    places: LINKS,
    ends: { client: failure('connection_refused') },
    async play(stage) {
      const nobody = await stage.bound();
      const port = portOf((await nobody.info()).local);
      const client = await stage.diallerWithPort();
      await failed(client.connect(stage.dialHost, port));
      await nobody.close();
      return { client: [await client.close()] };
    },
  }),
  scenario({
    name: 'refused, then the same socket connects',
    places: [...LINKS, ...LOOPBACKS],
    ends: { ...BOTH_NORMAL, refused: failure('connection_refused') },
    async play(stage) {
      const nobody = await stage.bound();
      const port = portOf((await nobody.info()).local);
      const socket = await stage.diallerWithPort();
      await failed(socket.connect(stage.dialHost, port));
      const refused = await socket.info();
      await nobody.close();
      const { client, server } = await stage.conversed(socket);
      const report = await client.close();
      await server.receiveRest();
      return { refused: [refused], client: [report], server: [await server.close()] };
    },
  }),
  ...REJECTS.flatMap(({ place, answer, errorType }) =>
    (['blocking', 'waiting by poll'] as const).map((how) =>
      scenario({
        name: `rejected with ${answer}, ${how}`,
        places: [place],
        repeat: 2,
        ends: { client: failure(errorType, errorType === 'EACCES' ? '_OTHER' : errorType) },
        async play(stage) {
          const { port } = await stage.listener();
          const lift = await stage.serverNamespace.filter('input', `${stage.towards('server')} reject with ${answer}`);
          const client = await stage.dialler();
          // An ICMP answer that finds the socket busy is a hint only. Who blocks goes on until a second SYN is
          // answered; who polls may be told at once, while the socket still connects, and closes it then.
          await client.option('syncnt', 2);
          if (how === 'blocking') await failed(client.connect(stage.dialHost, port));
          const report = how === 'blocking' ? await client.close() : await attempt(stage, client, port);
          await lift();
          return { client: [report] };
        },
      }),
    ),
  ),
  scenario({
    name: "rejected by the client's own packet filter",
    places: LINKS,
    repeat: 3,
    ends: { client: failure('connection_refused') },
    async play(stage) {
      const { port } = await stage.listener();
      const lift = await stage.clientNamespace.filter('output', `${stage.towards('server')} reject with tcp reset`);
      const report = await attempt(stage, await stage.dialler(), port);
      await lift();
      return { client: [report] };
    },
  }),
  scenario({
    name: 'timed out: the SYN is lost',
    places: LINKS,
    ends: { client: failure('timed_out') },
    repeat: 1,
    async play(stage) {
      const { port } = await stage.listener();
      const lift = await stage.losing('server');
      const clients = await Promise.all(Array.from({ length: 5 }, () => stage.dialler()));
      for (const client of clients) {
        await client.option('syncnt', 1);
        await client.start(stage.dialHost, port);
      }
      const reports: EndReport[] = [];
      for (const client of clients) {
        await failed(client.outcome());
        reports.push(await client.close());
      }
      await lift();
      return { client: reports };
    },
  }),
  scenario({
    name: 'timed out: the answer is lost',
    places: LINKS,
    ends: { client: failure('timed_out') },
    repeat: 2,
    async play(stage) {
      const { port } = await stage.listener();
      const lift = await stage.losing('client');
      const client = await stage.dialler();
      await client.option('user_timeout', 500);
      const report = await attempt(stage, client, port);
      await lift();
      return { client: [report] };
    },
  }),
  scenario({
    name: 'unreachable: no neighbour has the address',
    places: [IPV4],
    repeat: 1,
    ends: { client: failure('host_unreachable') },
    async play(stage) {
      const clients = await Promise.all(Array.from({ length: 3 }, () => stage.dialler()));
      for (const client of clients) await client.start('10.70.0.99', 80);
      const reports: EndReport[] = [];
      for (const client of clients) {
        await failed(client.outcome());
        reports.push(await client.close());
      }
      return { client: reports };
    },
  }),
  scenario({
    name: 'no route: no packet, no transition, nothing to count',
    places: LINKS,
    ends: {},
    async play(stage) {
      const client = await stage.dialler();
      await failed(client.start(stage.place === IPV4 ? '192.0.2.1' : '2001:db8::1', 80));
      await client.close();
      return {};
    },
  }),
  scenario({
    name: 'no local port is left',
    places: LINKS,
    repeat: 3,
    isolated: ({ client }) => client.sysctl('net.ipv4.ip_local_port_range', '40000 40001'),
    ends: { ...BOTH_NORMAL, portless: failure('no_local_port') },
    async play(stage) {
      const pairs = [await stage.conversed(), await stage.conversed()];
      const { port } = await stage.listener();
      const third = await stage.dialler();
      await failed(third.connect(stage.dialHost, port));
      const portless = await third.close();
      const client: EndReport[] = [];
      const server: EndReport[] = [];
      for (const pair of pairs) {
        // the server closes first: the ports must be free again for the next round
        server.push(await pair.server.close());
        await pair.client.receiveRest();
        client.push(await pair.client.close());
      }
      return { client, server, portless: [portless] };
    },
  }),
  scenario({
    name: 'given up: closed while connecting',
    places: LINKS,
    ends: { client: failure('aborted') },
    async play(stage) {
      const { port } = await stage.listener();
      const lift = await stage.losing('server');
      const client = await stage.dialler();
      await client.start(stage.dialHost, port);
      const report = await client.close();
      await lift();
      return { client: [report] };
    },
  }),
  scenario({
    name: 'given up: shut down while connecting',
    places: LINKS,
    ends: { client: failure('aborted') },
    async play(stage) {
      const { port } = await stage.listener();
      const lift = await stage.losing('server');
      const client = await stage.dialler();
      await client.start(stage.dialHost, port);
      await client.shutdown('wr');
      const report = await client.close();
      await lift();
      return { client: [report] };
    },
  }),
  scenario({
    name: 'given up: disconnected while connecting, then connected',
    places: LINKS,
    ends: { ...BOTH_NORMAL, given: failure('aborted') },
    async play(stage) {
      const { port } = await stage.listener();
      const lift = await stage.losing('server');
      const socket = await stage.diallerWithPort();
      await socket.start(stage.dialHost, port);
      const given = await socket.info();
      await socket.disconnect();
      await lift();
      const { client, server } = await stage.conversed(socket);
      const report = await client.close();
      await server.receiveRest();
      return { given: [given], client: [report], server: [await server.close()] };
    },
  }),
  scenario({
    name: 'given up: the process dies while connecting',
    places: LINKS,
    repeat: 5,
    ends: { client: failure('aborted') },
    async play(stage) {
      const { port } = await stage.listener();
      const lift = await stage.losing('server');
      const mortal = await stage.spare('client');
      const client = await stage.dialler(mortal);
      await client.start(stage.dialHost, port);
      const report = await client.info();
      await mortal.kill();
      await lift();
      return { client: [report] };
    },
  }),
];
