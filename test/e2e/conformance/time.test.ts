/**
 * Long connections, long totals, short connections, and an agent that is not there all the while. Each case has addresses
 * of its own: the others are played while one waits.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest';
import { type Agent, startAgent } from '../../kernel/support/agent.ts';
import { eventually } from '../../kernel/support/eventually.ts';
import { load } from '../../kernel/support/load.ts';
import type { Page } from '../../kernel/support/prometheus-text.ts';
import { account } from './support/account.ts';
import { castOf } from './support/cast.ts';
import { pod } from './support/objects.ts';
import { exchange, hangUp, namesFrom, Stage } from './support/stage.ts';
import { describeConformance } from './support/suite.ts';

const BOTH = ['source', 'destination'] as const;

const cast = { long: castOf(8), much: castOf(26), loss: castOf(27), restart: castOf(28) };
/** As the server's, in the server's namespace: the load has both ends there. */
const LOAD_CLIENT = '10.72.27.2';

describeConformance('time', () => {
  let stage: Stage;

  beforeAll(async () => {
    const { long, much, loss, restart } = cast;
    stage = await Stage.open([
      ...[long, much, restart].flatMap(({ objects }) => objects),
      pod({ workload: 'client', namespace: loss.namespace, ips: [LOAD_CLIENT] }),
      pod({ workload: 'server', namespace: loss.namespace, ips: [loss.server] }),
    ]);
  });

  afterAll(async () => {
    await stage?.close();
  });

  const ofCase = (page: Page, { namespace }: { namespace: string }, reporter: string): number[] =>
    account(page, { reporter, source_workload_namespace: namespace, destination_workload: 'server' });

  /** An agent beside the stage's until the test is over, with names from the same istiod. */
  async function another(
    { onTestFinished }: TestContext,
    receiver: Readonly<Record<string, unknown>> = {},
  ): Promise<Agent> {
    const agent = await startAgent({ identity: namesFrom(stage.istiod.port), receiver });
    onTestFinished(() => agent.kill());
    return agent;
  }

  test.concurrent('8. a connection that lasts: its bytes count while it is open, and once', async () => {
    const { client, server } = cast.long;
    const bytes = 1_000_000;
    const connection = await stage.connect(client, await stage.listen(server));
    await Promise.all([connection.client.send(bytes), connection.server.receive(bytes)]);
    const increments = BOTH.map(() => 0);
    const seen = BOTH.map(() => 0);
    const look = async (): Promise<void> => {
      const page = await stage.agent.scrape();
      for (const [i, reporter] of BOTH.entries()) {
        const [, , received] = ofCase(page, cast.long, reporter);
        expect(received).toBeGreaterThanOrEqual(seen[i]!);
        increments[i]! += received! - seen[i]!;
        seen[i] = received!;
      }
    };
    await eventually(async () => {
      await look();
      // a live receiver may hold one byte back until the end, for it might be the FIN's sequence number
      for (const received of seen) expect(received).toBeGreaterThanOrEqual(bytes - 1);
    });
    for (let second = 0; second < 20; second++) {
      await delay(1000);
      await look();
    }
    for (const reporter of BOTH) {
      expect(ofCase(await stage.agent.scrape(), cast.long, reporter).slice(0, 2)).toEqual([1, 0]);
    }
    await hangUp(connection);
    for (const [i, reporter] of BOTH.entries()) {
      await eventually(async () => {
        await look();
        expect(ofCase(await stage.agent.scrape(), cast.long, reporter)).toEqual([1, 1, bytes, 0]);
        expect(increments[i]).toBe(bytes);
      });
    }
  });

  test.concurrent('26. more than 4 GiB on one connection: to the byte', async () => {
    const { client, server } = cast.much;
    const bytes = 2 ** 32 + 12_345;
    const connection = await stage.connect(client, await stage.listen(server));
    await Promise.all([connection.client.send(bytes, 'sendfile'), connection.server.receive(bytes, 'discard')]);
    await hangUp(connection);
    for (const reporter of BOTH) {
      await eventually(async () =>
        expect(ofCase(await stage.agent.scrape(), cast.much, reporter)).toEqual([1, 1, bytes, 0]),
      );
    }
  });

  test.concurrent('27. the smallest ring, 5,000 short connections: every one is counted, what the log lacks is counted, too', async (context) => {
    const connections = 5000;
    const agent = await another(context, { access_log_buffer: '4KiB' });
    let loading = true;
    const looks = (async () => {
      for (let before = [0, 0, 0, 0]; loading; await delay(100)) {
        const now = ofCase(await agent.scrape(), cast.loss, 'source');
        for (const [i, value] of now.entries()) expect(value).toBeGreaterThanOrEqual(before[i]!);
        expect(now[0]).toBeLessThanOrEqual(connections);
        before = now;
      }
    })();
    const ends = { address: cast.loss.server, source: LOAD_CLIENT };
    await load(stage.link.server, { ...ends, connections, send: 11, reply: 22 });
    loading = false;
    await looks;
    for (const reporter of BOTH) {
      await eventually(async () =>
        expect(ofCase(await agent.scrape(), cast.loss, reporter)).toEqual([
          connections,
          connections,
          11 * connections,
          22 * connections,
        ]),
      );
    }
    await eventually(async () => {
      const page = await agent.scrape();
      const ended = page.sum('tcpledger_connections_closed_total') + page.sum('tcpledger_connections_failed_total');
      expect(agent.log().length + page.sum('tcpledger_access_log_dropped_total')).toBe(ended);
    });
  });

  test.concurrent('28. the agent starts anew while a connection is open: adopted, counted from 0, no close without an open or an adoption', async (context) => {
    const { client, server } = cast.restart;
    const listener = await stage.listen(server);
    const first = await another(context);
    const connection = await stage.connect(client, listener);
    await exchange(connection);
    await eventually(async () =>
      expect(ofCase(await first.scrape(), cast.restart, 'source').slice(0, 2)).toEqual([1, 0]),
    );
    expect(await first.stop()).toBe(0);
    await connection.client.acknowledged();
    await connection.server.acknowledged();

    const agent = await another(context);
    const ended = async (): Promise<void> => {
      const page = await agent.scrape();
      const total = (name: string) => page.sum(`tcpledger_connections_${name}_total`);
      expect(total('adopted')).toBeGreaterThanOrEqual(2);
      expect(total('closed')).toBeLessThanOrEqual(total('opened') + total('adopted'));
    };
    for (const reporter of BOTH) {
      const open = { reporter, source_workload_namespace: cast.restart.namespace };
      await eventually(async () => expect((await agent.scrape()).sum('tcp_connections_active', open)).toBe(1));
      expect(ofCase(await agent.scrape(), cast.restart, reporter)).toEqual([0, 0, 0, 0]);
    }
    await ended();
    await exchange(connection);
    const from = await hangUp(connection);
    await stage.converse(client, listener);
    for (const reporter of BOTH) {
      // the one that was adopted has a close and no open, the other both
      await eventually(async () =>
        expect(ofCase(await agent.scrape(), cast.restart, reporter)).toEqual([1, 2, 22, 44]),
      );
    }
    await ended();
    await eventually(() => {
      const lines = agent.log().filter(({ fields }) => fields['src.addr'] === from);
      expect(lines.map(({ fields }) => [fields.direction, fields.bytes_sent, fields.bytes_recv]).sort()).toEqual([
        ['inbound', 22, 11],
        ['outbound', 11, 22],
      ]);
    });
  });
});
