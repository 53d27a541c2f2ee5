import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { createStockPage, nodeTotalsProducer, telemetryProducer } from '../../../src/exporters/otel-metrics-adapter.ts';
import { SeriesTable } from '../../../src/exporters/series-table.ts';
import { CONNECT_ERRORS, PAIR_COUNTERS, PAIR_HISTOGRAMS } from '../../../src/semconv/pair-fields.ts';
import { AGENT_METRICS, type MetricRow, NODE_METRICS, PAIR_METRICS } from '../../../src/semconv/registry.ts';
import { telemetryOf } from '../support/component.ts';
import { pageBytes } from '../support/page.ts';
import { batch, peers, workload } from '../support/pairs.ts';

const installed = spawnSync('promtool', ['--version']).error === undefined;
if (!installed) console.warn('promtool is not installed (Debian package prometheus): its check of the page is skipped');

/** A page with every family of the registry. */
async function fullPage(): Promise<string> {
  const table = new SeriesTable({ version: '1.2.3' });
  const fields = [...PAIR_COUNTERS, ...CONNECT_ERRORS, ...PAIR_HISTOGRAMS.map((h) => h.name)];
  const counts = Object.fromEntries(fields.map((field, i) => [field, i + 1]));
  const nasty = workload('back\\slash "quote"\nline é😀', { zone: '\r' });
  table.consume(
    batch([
      { slot: 1, peers: peers(), counts },
      { slot: 2, peers: peers({ reporter: 'destination', source: nasty }), counts },
    ]),
  );
  const own = new Set(table.nodeFamilies().map((family) => family.definition.name));
  const agent = Object.values<MetricRow>(AGENT_METRICS).filter((row) => !own.has(row.name));
  const telemetry = telemetryOf(
    agent.map((definition) => {
      const labels = Object.fromEntries(definition.labels.map((label) => [label, 'some']));
      const buckets = Array((definition.bounds?.length ?? 0) + 1).fill(1);
      return {
        definition,
        points: [
          definition.type === 'histogram' ? { labels, buckets, sum: 1, count: buckets.length } : { labels, value: 1 },
        ],
      };
    }),
  );
  const rest = await createStockPage([nodeTotalsProducer(table), telemetryProducer(telemetry)])();
  return pageBytes(table, rest).toString('utf8');
}

describe('the whole page', () => {
  it.skipIf(!installed)('is clean to promtool check metrics', async () => {
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input: await fullPage(),
      encoding: 'utf8',
    });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('has every family of the registry, once', async () => {
    const types = [...(await fullPage()).matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => `${name} ${type}`);
    const registry = [
      ...PAIR_METRICS,
      ...Object.values<MetricRow>(NODE_METRICS),
      ...Object.values<MetricRow>(AGENT_METRICS),
    ];
    const expected = registry.map((row) => `${row.name}${row.type === 'counter' ? '_total' : ''} ${row.type}`);
    expect(types.sort()).toEqual(expected.sort());
  });

  it('calls every family unstable but the four of Istio, its build, and those of the process', async () => {
    const stable = [...(await fullPage()).matchAll(/^# HELP (\S+) (.*)$/gm)].filter(
      ([, , help]) => !help!.endsWith('(unstable)'),
    );
    expect(stable.map(([, name]) => name).filter((name) => !/^(process|nodejs)_/.test(name!))).toEqual([
      'istio_tcp_connections_opened_total',
      'istio_tcp_connections_closed_total',
      'istio_tcp_received_bytes_total',
      'istio_tcp_sent_bytes_total',
      'istio_build',
    ]);
  });
});
