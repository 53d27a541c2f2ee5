/**
 * Collectors that are away, slow, unwell or something else altogether: the agent runs on, and says what is lost. Most of
 * it is waiting, so several wait side by side, each with an agent and addresses of its own.
 */
import { expect, type TestContext, test } from 'vitest';
import { type Agent, startAgent } from '../../kernel/support/agent.ts';
import { eventually } from '../../kernel/support/eventually.ts';
import type { Page } from '../../kernel/support/prometheus-text.ts';
import { describeOnKernel } from '../../kernel/support/suite.ts';
import { BAD_COLLECTORS, type BadCollectorKind } from '../support/bad-collectors.ts';
import { stopsInTime } from '../support/stop-within.ts';
import { Traffic } from '../support/traffic.ts';

const CONNECTIONS = 1500;

describeOnKernel('a Collector that', () => {
  /** Such a Collector, an agent that exports to it, and traffic of its own: all of them until the test is over. */
  async function started(
    kind: BadCollectorKind,
    { onTestFinished }: TestContext,
    queue = {},
  ): Promise<{ traffic: Traffic; agent: Agent }> {
    const { exporter } = kind;
    const traffic = await Traffic.create();
    onTestFinished(() => traffic.remove());
    const { port, close } = await kind.start();
    onTestFinished(() => close());
    const agent = await startAgent({
      workloads: traffic.workloads,
      exporters: {
        [exporter]: {
          signals: ['logs', 'metrics'],
          config: {
            endpoint: exporter === 'otlp_http' ? `http://127.0.0.1:${port}` : `127.0.0.1:${port}`,
            timeout: '500ms',
            metrics_interval: '500ms',
            retry_on_failure: { initial_interval: '50ms', max_interval: '200ms', max_elapsed_time: '0s' },
            sending_queue: queue,
            ...(exporter === 'otlp_grpc' ? { tls: { insecure: true } } : {}),
          },
        },
      },
    });
    onTestFinished(() => agent.kill());
    return { traffic, agent };
  }

  const records = (page: Page, fate: 'sent' | 'failed' | 'dropped'): number =>
    page.sum(`tcpledger_export_${fate}_records_total`, { signal: 'logs' });

  test.concurrent.for(BAD_COLLECTORS)('$name ($exporter)', async (kind, context) => {
    const { traffic, agent } = await started(kind, context);
    await traffic.run(CONNECTIONS);
    await traffic.isOnPage(agent);
    await eventually(() => expect(agent.stderr()).toMatch(kind.told));
    if (kind.fate === 'kept') {
      const page = await agent.scrape();
      expect(page.sum('tcpledger_export_queue_size')).toBeGreaterThan(0);
      expect([records(page, 'sent'), records(page, 'failed'), records(page, 'dropped')]).toEqual([0, 0, 0]);
    } else {
      // every line of the log is a record of that fate, and of no other
      await eventually(async () => {
        const page = await agent.scrape();
        expect(records(page, kind.fate as 'sent' | 'failed')).toBeGreaterThanOrEqual(2 * CONNECTIONS);
        expect(records(page, 'sent') + records(page, 'failed') + records(page, 'dropped')).toBe(
          records(page, kind.fate as 'sent' | 'failed'),
        );
      });
    }
    await stopsInTime(agent);
    const lines = agent.log();
    traffic.isIn(lines);
    const abandoned = /sending logs to .*: (\d+) records could not be delivered before the end/.exec(
      agent.stderr(),
    )?.[1];
    if (kind.fate === 'kept') expect(Number(abandoned)).toBe(lines.length);
    else expect(abandoned).toBeUndefined();
  });

  test('has no room: what the queue does not take is counted, the rest is not lost', async (context) => {
    const kind = BAD_COLLECTORS.find(({ name }) => name === 'is away')!;
    const { traffic, agent } = await started(kind, context, { queue_size: 2 });
    for (let wave = 0; wave < 12; wave++) await traffic.run(1000);
    await traffic.isInLog(agent);
    // a look makes records itself: when one more batch is dropped those of the traffic have been dropped or taken
    const before = records(await agent.scrape(), 'dropped');
    const dropped = await eventually(async () => {
      const now = records(await agent.scrape(), 'dropped');
      expect(now).toBeGreaterThan(before);
      return now;
    });
    expect(agent.stderr()).toContain('the queue is full, new records are dropped and counted');
    await stopsInTime(agent);
    const abandoned = Number(/: (\d+) records could not be delivered before the end/.exec(agent.stderr())?.[1]);
    expect(dropped + abandoned).toBeGreaterThanOrEqual(2 * traffic.connections);
    expect(dropped + abandoned).toBeLessThanOrEqual(agent.log().length);
  });
});
