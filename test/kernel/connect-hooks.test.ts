/** Connects that fail before a packet could leave: no transition follows them, only the programs on connect see them. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LogLine } from './support/access-log.ts';
import { accountsOf, type PairAccount } from './support/account.ts';
import { type Agent, type AgentOptions, startAgent } from './support/agent.ts';
import { type Cgroup, cgroupRoot, makeCgroup } from './support/cgroup.ts';
import { run } from './support/command.ts';
import { forbid } from './support/connect-program.ts';
import { eventually } from './support/eventually.ts';
import { kernelObjects, nothingIsLeft } from './support/leftovers.ts';
import { load } from './support/load.ts';
import { type PairOfPeers, pairOfPeers, SERVER } from './support/pair.ts';
import { Peer } from './support/peer.ts';
import { describeOnKernel } from './support/suite.ts';

/** No route leads there. */
const NOWHERE = { name: 'nowhere', ips: ['10.99.0.1', 'fd99::1'] } as const;
const [NOWHERE4, NOWHERE6] = NOWHERE.ips;
const PORT = 80;
const ERROR = 'connection failed before a packet could leave: no route, or a local policy';

/** One for each test, and the cgroup of its client. */
const CLIENTS = [
  'without-route',
  'forbidden',
  'again',
  'nonblocking',
  'fast-open',
  'unspecified',
  'mapped',
  'many',
] as const;
type Client = (typeof CLIENTS)[number];

const unreachable = { errno: 'ENETUNREACH' };

const account = (of: Partial<PairAccount>): Partial<PairAccount> => ({
  opened: 0,
  closed: 0,
  failedClosed: 0,
  failed: 0,
  receivedBytes: 0,
  sentBytes: 0,
  active: 0,
  failures: {},
  ...of,
});
const failed = (count: number): Partial<PairAccount> =>
  account({ opened: count, failedClosed: count, failed: count, failures: { _OTHER: count } });
const ended = (count: number, towardsServer = 0): Partial<PairAccount> =>
  account({ opened: count, closed: count, receivedBytes: towardsServer });

describeOnKernel('connects that fail before a packet could leave', () => {
  const cgroups = new Map<string, Cgroup>();
  let agent: Agent;
  let pair: PairOfPeers;

  beforeAll(async () => {
    for (const name of CLIENTS) cgroups.set(name, makeCgroup(name));
    agent = await startAgent({
      workloads: [
        ...CLIENTS.map((name) => ({ name, cgroupPaths: [cgroups.get(name)!.path] })),
        NOWHERE,
        { name: 'local', ips: ['10.71.9.9'] },
        SERVER,
      ],
    });
    pair = await pairOfPeers();
  });

  afterAll(async () => {
    pair?.client.joinCgroup(cgroupRoot());
    await pair?.remove();
    await agent?.kill();
    for (const cgroup of cgroups.values()) cgroup.remove();
  });

  /** What the client's own end tells of its connections, by the workload it dialled. */
  async function expectAccounts(client: Client, expected: Record<string, Partial<PairAccount>>): Promise<void> {
    const prefix = `source: ${client} → `;
    await eventually(async () => {
      const accounts = Object.entries(accountsOf(await agent.scrape(), [client], {}));
      const own = accounts.filter(([key]) => key.startsWith(prefix));
      expect(Object.fromEntries(own.map(([key, value]) => [key.slice(prefix.length), value]))).toEqual(expected);
    });
  }

  /** In the order in which they were written. */
  const lines = (client: Client): LogLine[] =>
    agent.log().filter(({ fields }) => fields['src.workload'] === client && fields.direction === 'outbound');

  const expectFailures = async (client: Client, dialled: readonly string[]): Promise<void> => {
    const expected = dialled.map((address) => ({ level: 'error', address, error: ERROR, sent: 0, received: 0 }));
    await eventually(() => {
      const told = lines(client).map(({ level, fields }) => ({
        level,
        address: fields['dst.addr'],
        error: fields.error,
        sent: fields.bytes_sent,
        received: fields.bytes_recv,
      }));
      const byAddress = (a: { address?: unknown }, b: { address?: unknown }) =>
        String(a.address) < String(b.address) ? -1 : 1;
      expect(told.sort(byAddress)).toEqual(expected.sort(byAddress));
    });
  };

  async function failedConnect(family: 4 | 6, host: string, errno = unreachable, peer = pair.client): Promise<void> {
    const socket = await peer.socket(family);
    await expect(socket.connect(host, PORT)).rejects.toMatchObject(errno);
    await socket.close();
  }

  const playing = (client: Client, peer = pair.client): void => peer.joinCgroup(cgroups.get(client)!.directory);

  test('no route, IPv4 and IPv6: opened and failed once, with the dialled address and the end named by its cgroup', async () => {
    playing('without-route');
    await failedConnect(4, NOWHERE4);
    await failedConnect(6, NOWHERE6);
    await expectAccounts('without-route', { nowhere: failed(2) });
    await expectFailures('without-route', [`${NOWHERE4}:${PORT}`, `[${NOWHERE6}]:${PORT}`]);
  });

  test("another's program forbids it", async () => {
    const { directory } = cgroups.get('forbidden')!;
    const lift = await forbid(directory, { host: SERVER.ips[0], port: PORT });
    playing('forbidden');
    await failedConnect(4, SERVER.ips[0], { errno: 'EPERM' });
    lift();
    await expectAccounts('forbidden', { server: failed(1) });
    await expectFailures('forbidden', [`${SERVER.ips[0]}:${PORT}`]);
  });

  test('the same socket, connected again: both are told, in their order', async () => {
    playing('again');
    const { connect } = await listening();
    const socket = await pair.client.socket(4);
    await expect(socket.connect(NOWHERE4, PORT)).rejects.toMatchObject(unreachable);
    await expect(socket.connect(NOWHERE4, PORT)).rejects.toMatchObject(unreachable);
    await connect((port) => socket.connect(SERVER.ips[0], port));
    await socket.send(7);
    await socket.close();
    await expectAccounts('again', { nowhere: failed(2), server: ended(1, 7) });
    await eventually(() => expect(lines('again').map(({ level }) => level)).toEqual(['error', 'error', 'info']));
  });

  test('without waiting', async () => {
    playing('nonblocking');
    const { connect } = await listening();
    const socket = await pair.client.socket(4);
    await expect(socket.start(NOWHERE4, PORT)).rejects.toMatchObject(unreachable);
    await connect(async (port) => {
      await socket.start(SERVER.ips[0], port);
      await socket.outcome();
    });
    await socket.close();
    await expectAccounts('nonblocking', { nowhere: failed(1), server: ended(1) });
  });

  test('with data in the SYN', async () => {
    playing('fast-open');
    await pair.link.client.sysctl('net.ipv4.tcp_fastopen', '3');
    await pair.link.server.sysctl('net.ipv4.tcp_fastopen', '3');
    const { connect } = await listening(true);
    const lost = await pair.client.socket(4);
    await expect(lost.fastOpen(NOWHERE4, PORT, 11)).rejects.toMatchObject(unreachable);
    await lost.close();
    // the first brings the cookie, the others use it: by sendto, and by connect that waits for the data
    for (const deferred of [false, false, true]) {
      const socket = await pair.client.socket(4);
      if (deferred) await socket.option('fastopen_connect', 1);
      await connect(async (port) => {
        if (!deferred) return void (await socket.fastOpen(SERVER.ips[0], port, 11));
        await socket.connect(SERVER.ips[0], port);
        await socket.send(11);
      });
      await socket.close();
    }
    await expectAccounts('fast-open', { nowhere: failed(1), server: ended(3, 33) });
  });

  test('a socket that is disconnected and connected anew', async () => {
    playing('unspecified');
    const { connect } = await listening();
    const socket = await pair.client.socket(4);
    for (const bytes of [3, 5]) {
      await connect((port) => socket.connect(SERVER.ips[0], port));
      await socket.send(bytes);
      await socket.acknowledged();
      await socket.disconnect();
      await expect(socket.connect(NOWHERE4, PORT)).rejects.toMatchObject(unreachable);
      await socket.disconnect();
    }
    await socket.close();
    await expectAccounts('unspecified', { nowhere: failed(2), server: ended(2, 8) });
  });

  test('IPv4 through a socket of IPv6', async () => {
    playing('mapped');
    const { connect } = await listening();
    await failedConnect(6, `::ffff:${NOWHERE4}`);
    await expectFailures('mapped', [`${NOWHERE4}:${PORT}`]);
    const socket = await pair.client.socket(6);
    await connect((port) => socket.connect(`::ffff:${SERVER.ips[0]}`, port));
    await socket.close();
    await expectAccounts('mapped', { nowhere: failed(1), server: ended(1) });
  });

  test('thousands, each socket in the memory of the one before, beside others that connect', async () => {
    const others = await Promise.all([1, 2, 3].map(() => Peer.start(pair.link.client)));
    for (const peer of [pair.client, ...others]) playing('many', peer);
    const failing = async (peer: Peer): Promise<void> => {
      for (let i = 0; i < 400; i++) {
        await failedConnect(i % 2 ? 4 : 6, i % 2 ? NOWHERE4 : NOWHERE6, unreachable, peer);
      }
    };
    const mixed = async (): Promise<void> => {
      for (let i = 0; i < 300; i++) {
        await failedConnect(4, NOWHERE4);
        const { client, server } = await pair.connect();
        await client.close();
        await server.receiveRest();
        await server.close();
      }
    };
    const background = load(pair.link.client, {
      address: '10.71.9.9',
      source: '10.71.9.9',
      connections: 3000,
      send: 1,
    });
    await Promise.all([background, mixed(), ...others.map(failing)]);
    for (const peer of others) await peer.kill();
    await expectAccounts('many', { nowhere: failed(1500), server: ended(300) });
    await eventually(async () => {
      const page = await agent.scrape();
      const labels = { reporter: 'source', source_workload: 'local', destination_workload: 'local' };
      expect(page.sum('istio_tcp_connections_opened_total', labels)).toBe(3000);
      expect(page.sum('tcpledger_kernel_errors_total')).toBe(0);
    });
  });

  /** A listener of the server's whose connections are read to their end and closed. */
  async function listening(fastOpen = false) {
    const listener = await pair.server.socket(4);
    await listener.bind(SERVER.ips[0]);
    if (fastOpen) await listener.option('fastopen', 16);
    const port = await listener.listen();
    return {
      connect: async (dial: (port: number) => Promise<void>): Promise<void> => {
        await dial(port);
        await listener.accept();
      },
    };
  }
});

describeOnKernel('the end of the agent', () => {
  test('a connect that failed just before is in the last lines', async () => {
    const agent = await startAgent({ workloads: [NOWHERE] });
    const pair = await pairOfPeers();
    const socket = await pair.client.socket(4);
    await expect(socket.connect(NOWHERE4, PORT)).rejects.toMatchObject(unreachable);
    await delay(200);
    expect(await agent.stop()).toBe(0);
    const told = agent.log().filter(({ fields }) => fields['dst.addr'] === `${NOWHERE4}:${PORT}`);
    expect(told.map(({ fields }) => fields.error)).toEqual([ERROR]);
    await pair.remove();
  });
});

describeOnKernel('without the programs on connect', () => {
  /** An agent, one connection and one connect without a route; resolves to what the agent told. */
  async function told(options: AgentOptions) {
    const agent = await startAgent({
      workloads: [{ name: 'client', ips: ['10.71.9.1'] }, SERVER, NOWHERE],
      ...options,
    });
    const pair = await pairOfPeers();
    const attached = (await run('bpftool', ['cgroup', 'show', cgroupRoot()])).match(/tcpledger_conn\w*/g) ?? [];
    const lost = await pair.client.socket(4);
    await expect(lost.connect(NOWHERE4, PORT)).rejects.toMatchObject(unreachable);
    await lost.close();
    const { client, server } = await pair.connect();
    await client.send(11);
    await server.receive(11);
    await client.close();
    await server.receiveRest();
    await server.close();
    await eventually(async () => {
      const accounts = accountsOf(await agent.scrape(), ['server'], {});
      expect(accounts).toEqual({
        'source: client → server': ended(1, 11),
        'destination: client → server': ended(1, 11),
      });
    });
    // one program for each family
    const failures = () => agent.log().filter(({ fields }) => fields['dst.addr'] === `${NOWHERE4}:${PORT}`).length;
    await eventually(() => expect(failures()).toBe(attached.length / 2));
    await pair.remove();
    const code = await agent.stop();
    return { attached: attached.length, failures: failures(), code, warnings: warningsOf(agent) };
  }

  const warningsOf = (agent: Agent): string[] =>
    agent
      .stderr()
      .split('\n')
      .filter((line) => line.includes('\twarn\t'));

  test('with them, for comparison', async () => {
    const before = await kernelObjects();
    expect(await told({})).toEqual({ attached: 2, failures: 1, code: 0, warnings: [] });
    expect(await run('bpftool', ['cgroup', 'tree'])).not.toContain('tcpledger');
    await nothingIsLeft(before);
  });

  test('for want of CAP_NET_ADMIN: one warning that says what to do, all else counted', async () => {
    const before = await kernelObjects();
    const { warnings, ...rest } = await told({ withoutCapabilities: ['net_admin', 'sys_admin'] });
    expect(rest).toEqual({ attached: 0, failures: 0, code: 0 });
    expect(warnings).toEqual([
      expect.stringMatching(
        /CAP_NET_ADMIN is missing.*All else is counted\. Grant CAP_NET_ADMIN.*connect_hooks to false/,
      ),
    ]);
    await nothingIsLeft(before);
  });

  test('by configuration: nothing is attached, nothing is said', async () => {
    const before = await kernelObjects();
    const options = { receiver: { connect_hooks: false } };
    expect(await told(options)).toEqual({ attached: 0, failures: 0, code: 0, warnings: [] });
    await nothingIsLeft(before);
  });
});
