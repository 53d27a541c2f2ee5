/** Which series and which lines a connection has: at one end, at both, while it is open, when it fails. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../../kernel/support/eventually.ts';
import { load } from '../../kernel/support/load.ts';
import { addStrangers } from '../../kernel/support/namespace.ts';
import { account, FAMILIES, labelSets } from './support/account.ts';
import { castOf, TARGET_PORT } from './support/cast.ts';
import { denyAll, pod, podName } from './support/objects.ts';
import { exchange, hangUp, QUICK, Stage } from './support/stage.ts';
import { strangeServers } from './support/stranger.ts';
import { describeConformance } from './support/suite.ts';

const BOTH = ['source', 'destination'] as const;

/** Addresses of those that have no socket here, behind a device in the client's and in the server's namespace. */
const STRANGE_SERVERS = '10.128.0.0/16';
const STRANGE_CLIENTS = '10.129.0.0/16';

const cast = {
  basic: castOf(1),
  log: castOf(2),
  sameNode: castOf(3),
  crossNode: castOf(4),
  unobservedServer: castOf(5),
  unobservedClient: castOf(6),
  open: castOf(7),
  empty: castOf(9),
  many: castOf(10),
  failing: castOf(25),
  denied: castOf(37),
};

describeConformance('connections', () => {
  let stage: Stage;
  let endAnswers: () => void;
  let strangers: string;

  beforeAll(async () => {
    stage = await Stage.open(
      [
        ...Object.values(cast).flatMap(({ objects }) => objects),
        // what is elsewhere is known all the same
        pod({ workload: 'server', suffix: 'far', namespace: cast.crossNode.namespace, ips: ['10.128.4.1'] }),
        pod({ workload: 'client', suffix: 'far', namespace: cast.crossNode.namespace, ips: ['10.129.4.1'] }),
        pod({ workload: 'server', suffix: 'far', namespace: cast.unobservedServer.namespace, ips: ['10.128.5.1'] }),
        ...['red', 'blue'].map((colour, i) =>
          pod({
            workload: `server-${colour}`,
            namespace: cast.many.namespace,
            ips: [`10.72.10.${2 + i}`],
            labels: { app: 'server' },
          }),
        ),
        denyAll('server', cast.denied.namespace),
      ],
      QUICK,
    );
    endAnswers = await strangeServers(stage.link.client, STRANGE_SERVERS, 22);
    strangers = await addStrangers(stage.link.server, STRANGE_CLIENTS);
  });

  afterAll(async () => {
    endAnswers?.();
    await stage?.close();
  });

  const pair = (namespace: string, reporter: string) => ({
    reporter,
    source_workload: 'client',
    source_workload_namespace: namespace,
    destination_workload: 'server',
    destination_workload_namespace: namespace,
  });

  /** Opened, closed, received, sent between the client and the server of that namespace. */
  const ofPair = async (namespace: string, reporter: string): Promise<number[]> =>
    account(await stage.agent.scrape(), pair(namespace, reporter));

  const linesFrom = (address: string) =>
    stage.agent.log().filter(({ fields }) => String(fields['src.addr']) === address);

  /** From a client without a socket on this machine: 11 bytes there, 22 back. */
  const fromStranger = (source: string, address: string) =>
    load(stage.link.server, {
      address,
      port: TARGET_PORT,
      connections: 1,
      send: 11,
      reply: 22,
      source,
      tun: strangers,
    });

  test('1. 11 bytes there, 22 back: exact at both reporters', async () => {
    const { namespace, client, server } = cast.basic;
    await stage.converse(client, await stage.listen(server));
    for (const reporter of BOTH) {
      await eventually(async () => {
        const page = await stage.agent.scrape();
        const labels = { ...pair(namespace, reporter), response_flags: '-' };
        expect(FAMILIES.map((family) => page.select(family, labels).map(({ value }) => value))).toEqual([
          [1],
          [1],
          [11],
          [22],
        ]);
      });
    }
  });

  test('2. the same in the log: each end tells its own view', async () => {
    const { client, server } = cast.log;
    const from = await stage.converse(client, await stage.listen(server));
    await eventually(() =>
      expect(
        linesFrom(from)
          .map(({ level, message, fields }) =>
            [level, message, fields.direction, fields.bytes_sent, fields.bytes_recv].join(' '),
          )
          .sort(),
      ).toEqual(['info connection complete inbound 22 11', 'info connection complete outbound 11 22']),
    );
  });

  test('3. both ends on one node: both reporters, the client is the source and the server the destination', async () => {
    const { namespace, client, server } = cast.sameNode;
    await stage.converse(client, await stage.listen(server, TARGET_PORT));
    await eventually(async () => {
      const { source, destination, ...others } = labelSets(await stage.agent.scrape(), {
        source_workload_namespace: namespace,
      });
      expect(source).toEqual([expect.objectContaining({ source_workload: 'client', destination_workload: 'server' })]);
      expect(destination).toEqual(source);
      expect(others).toEqual({});
    });
  });

  test('4. ends on two nodes: the client’s tells the source’s side only, the server’s the destination’s only', async () => {
    const { namespace, client, server } = cast.crossNode;
    // the client's node: the server has no socket here
    const socket = await stage.caller(client);
    await socket.connect('10.128.4.1', TARGET_PORT);
    await socket.send(11);
    await socket.receive(22);
    await socket.shutdown('wr');
    await socket.receiveRest();
    await socket.close();
    await eventually(async () => expect(await ofPair(namespace, 'source')).toEqual([1, 1, 11, 22]));
    expect(await ofPair(namespace, 'destination')).toEqual([0, 0, 0, 0]);
    // the server's node: the client has none
    await fromStranger('10.129.4.1', server);
    await eventually(async () => expect(await ofPair(namespace, 'destination')).toEqual([1, 1, 11, 22]));
    expect(await ofPair(namespace, 'source')).toEqual([1, 1, 11, 22]);
    // and what the two tell is one edge
    const { source, destination } = labelSets(await stage.agent.scrape(), { source_workload_namespace: namespace });
    expect(source).toHaveLength(1);
    expect(destination).toEqual(source);
  });

  test('5. nobody observes the server’s node: the source’s series only', async () => {
    const { namespace, client } = cast.unobservedServer;
    const socket = await stage.caller(client);
    await socket.connect('10.128.5.1', TARGET_PORT);
    await socket.send(11);
    await socket.receive(22);
    const { local } = await socket.close();
    await eventually(async () => expect(await ofPair(namespace, 'source')).toEqual([1, 1, 11, 22]));
    await eventually(() => expect(linesFrom(local).map(({ fields }) => fields.direction)).toEqual(['outbound']));
    expect(Object.keys(labelSets(await stage.agent.scrape(), { source_workload_namespace: namespace }))).toEqual([
      'source',
    ]);
  });

  test('6. a client from outside: the destination’s series only, its source unknown', async () => {
    const { namespace, server } = cast.unobservedClient;
    await fromStranger('10.129.6.1', server);
    await eventually(async () => {
      const page = await stage.agent.scrape();
      const { destination, ...others } = labelSets(page, { destination_workload_namespace: namespace });
      expect(others).toEqual({});
      expect(destination).toHaveLength(1);
      const ofSource = Object.entries(destination![0]!).filter(([label]) => label.startsWith('source_'));
      expect(ofSource).toHaveLength(10);
      expect(new Set(ofSource.map(([, value]) => value))).toEqual(new Set(['unknown']));
      expect(account(page, { reporter: 'destination', destination_workload_namespace: namespace })).toEqual([
        1, 1, 11, 22,
      ]);
    });
    await eventually(() => {
      const lines = stage.agent.log().filter(({ fields }) => String(fields['src.addr']).startsWith('10.129.6.1:'));
      expect(lines.map(({ fields }) => [fields.direction, fields['dst.workload']])).toEqual([
        ['inbound', podName('server')],
      ]);
      expect(Object.keys(lines[0]!.fields)).not.toContain('src.workload');
    });
  });

  test('7. opened counts at once, closed and the line when it is over', async () => {
    const { namespace, client, server } = cast.open;
    const connection = await stage.connect(client, await stage.listen(server));
    await exchange(connection);
    for (const reporter of BOTH) {
      await eventually(async () => expect((await ofPair(namespace, reporter)).slice(0, 2)).toEqual([1, 0]));
    }
    const { local } = await connection.client.info();
    expect(linesFrom(local)).toEqual([]);
    await hangUp(connection);
    for (const reporter of BOTH) {
      await eventually(async () => expect((await ofPair(namespace, reporter)).slice(0, 2)).toEqual([1, 1]));
    }
    await eventually(() => expect(linesFrom(local)).toHaveLength(2));
  });

  test('9. no byte at all: it is counted, and its byte series are there, at 0', async () => {
    const { namespace, client, server } = cast.empty;
    await hangUp(await stage.connect(client, await stage.listen(server)));
    for (const reporter of BOTH) {
      await eventually(async () => {
        const page = await stage.agent.scrape();
        expect(
          FAMILIES.map((family) => page.select(family, pair(namespace, reporter)).map(({ value }) => value)),
        ).toEqual([[1], [1], [0], [0]]);
      });
    }
  });

  test('10. 51 connections by one virtual address to two backends: all of them, at both', async () => {
    const { namespace, client, vip } = cast.many;
    const backends = [await stage.listen('10.72.10.2', TARGET_PORT), await stage.listen('10.72.10.3', TARGET_PORT)];
    await stage.translate(vip, backends);
    const turns = [0, 0];
    for (let i = 0; i < 51; i++) {
      const socket = await stage.caller(client);
      await socket.connect(vip.address, vip.port);
      const turn = (await backends[0]!.socket.pending()) > 0 ? 0 : 1;
      turns[turn]!++;
      const connection = { client: socket, server: await backends[turn]!.socket.accept() };
      await exchange(connection);
      await hangUp(connection);
    }
    expect(Math.min(...turns)).toBeGreaterThan(20);
    for (const reporter of BOTH) {
      await eventually(async () => {
        const labels = { reporter, source_workload_namespace: namespace, destination_service_name: 'server' };
        expect(account(await stage.agent.scrape(), labels)).toEqual([51, 51, 11 * 51, 22 * 51]);
      });
    }
    // which connection met which backend the backends know, whatever the client's node can find out
    const page = await stage.agent.scrape();
    const at = (workload: string) =>
      account(page, { reporter: 'destination', source_workload_namespace: namespace, destination_workload: workload });
    expect([at('server-red'), at('server-blue')]).toEqual(turns.map((n) => [n, n, 11 * n, 22 * n]));
  });

  test('25. a connect that is refused or not answered: CONNECT; a reset or an end after data: a success', async () => {
    const { namespace, client, server } = cast.failing;
    const flags = async (reporter: string, response_flags: string): Promise<number[]> => {
      const page = await stage.agent.scrape();
      const labels = { ...pair(namespace, reporter), response_flags };
      return [...account(page, labels).slice(0, 2), page.sum('istio_tcp_connections_failed_total', labels)];
    };

    const refused = await stage.caller(client);
    await expect(refused.connect(server, 9)).rejects.toThrow('ECONNREFUSED');
    await refused.close();
    await eventually(async () => expect(await flags('source', 'CONNECT')).toEqual([0, 1, 1]));
    expect(await flags('source', '-')).toEqual([1, 0, 0]);

    const lift = await stage.link.server.filter('input', 'tcp dport 10 drop');
    const unanswered = await stage.caller(client);
    await unanswered.option('user_timeout', 500);
    await expect(unanswered.connect(server, 10)).rejects.toThrow('ETIMEDOUT');
    await unanswered.close();
    await lift();
    await eventually(async () => expect(await flags('source', 'CONNECT')).toEqual([0, 2, 2]));
    expect(await flags('source', '-')).toEqual([2, 0, 0]);

    // byte series are there, at 0
    const page = await stage.agent.scrape();
    const bytes = page.select('istio_tcp_sent_bytes_total', {
      ...pair(namespace, 'source'),
      response_flags: 'CONNECT',
    });
    expect(bytes.map(({ value }) => value)).toEqual(bytes.map(() => 0));
    await eventually(() => {
      const failures = stage.agent
        .log()
        .filter(({ fields, level }) => level === 'error' && String(fields['dst.addr']).startsWith(`${server}:`));
      expect(failures.map(({ fields }) => [fields['dst.addr'], String(fields.error)]).sort()).toEqual([
        [`${server}:10`, expect.stringContaining('timed out')],
        [`${server}:9`, expect.stringContaining('Connection refused')],
      ]);
    });

    const listener = await stage.listen(server);
    const reset = await stage.connect(client, listener);
    await exchange(reset);
    await reset.client.linger(0);
    const { local } = await reset.client.close();
    // the server finds it reset
    await expect(reset.server.receiveRest()).rejects.toThrow('ECONNRESET');
    await reset.server.close();
    const ended = await stage.converse(client, listener);
    for (const [reporter, opened] of [
      ['source', 4],
      ['destination', 2],
    ] as const) {
      await eventually(async () => expect(await flags(reporter, '-')).toEqual([opened, 2, 0]));
    }
    await eventually(() => {
      const lines = [local, ended].flatMap(linesFrom);
      expect(lines.map(({ level, message }) => [level, message])).toEqual(
        Array(4).fill(['info', 'connection complete']),
      );
    });
  });

  test('37. what a policy would deny is nothing that a kernel tells: never DENY', async () => {
    const { namespace, client, server } = cast.denied;
    await stage.converse(client, await stage.listen(server));
    const refused = await stage.caller(client);
    await expect(refused.connect(server, 9)).rejects.toThrow('ECONNREFUSED');
    await refused.close();
    await eventually(async () => {
      const page = await stage.agent.scrape();
      const flags = page
        .select('istio_tcp_connections_closed_total', { source_workload_namespace: namespace, reporter: 'source' })
        .map(({ labels }) => labels.response_flags);
      expect(flags.sort()).toEqual(['-', 'CONNECT']);
    });
    const all = (await stage.agent.scrape()).samples.map(({ labels }) => labels.response_flags);
    expect(new Set(all.filter((flag) => flag !== undefined))).toEqual(new Set(['-', 'CONNECT']));
  });
});
