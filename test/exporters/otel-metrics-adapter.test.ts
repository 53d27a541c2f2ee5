import { AggregationTemporality, DataPointType, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { describe, expect, it } from 'vitest';
import type { TelemetryFamily } from '../../src/collector/telemetry.ts';
import { createStockPage, seriesTableProducer, telemetryProducer } from '../../src/exporters/otel-metrics-adapter.ts';
import { SeriesTable } from '../../src/exporters/series-table.ts';
import { AGENT_METRICS, ISTIO_LABELS, PAIR_METRICS } from '../../src/semconv/registry.ts';
import { telemetryOf } from './support/component.ts';
import { batch, peers } from './support/pairs.ts';

class TestReader extends MetricReader {
  protected override async onForceFlush() {}
  protected override async onShutdown() {}
}

/** What any stock reader collects from the producers, by instrument name. */
async function collect(...metricProducers: ReturnType<typeof seriesTableProducer>[]) {
  const reader = new TestReader({ metricProducers });
  const provider = new MeterProvider({ readers: [reader] });
  const { resourceMetrics, errors } = await reader.collect();
  await provider.shutdown();
  expect(errors).toEqual([]);
  expect(new Set(resourceMetrics.scopeMetrics.map((s) => s.scope.name))).toEqual(new Set(['tcpledger']));
  return new Map(resourceMetrics.scopeMetrics.flatMap((s) => s.metrics).map((m) => [m.descriptor.name, m]));
}

const START_MS = 1_700_000_000_123;

function tableWithOneRow() {
  const clock = { ms: START_MS };
  const table = new SeriesTable({ version: '1.2.3', now: () => clock.ms });
  clock.ms += 60_000;
  table.consume(
    batch([
      {
        slot: 1,
        peers: peers(),
        counts: { opened: 2, failed: 1, active: 1, sent: 11, duration: 1_500_000, connect: 1e5, smoothed_rtt: 1e5 },
      },
    ]),
  );
  return table;
}

describe('series table as a metric producer', () => {
  it('gives each registry row with a series to show as the instrument the registry says', async () => {
    const metrics = await collect(seriesTableProducer(tableWithOneRow()));
    for (const row of PAIR_METRICS.filter((r) => !/^tcp_(resets|connect_failures|min_rtt_seconds)$/.test(r.name))) {
      const metric = metrics.get(row.name);
      expect(metric?.descriptor).toMatchObject({ name: row.name, unit: row.unit, description: row.help });
      expect(metric?.aggregationTemporality).toBe(AggregationTemporality.CUMULATIVE);
      const types = { counter: DataPointType.SUM, gauge: DataPointType.GAUGE, histogram: DataPointType.HISTOGRAM };
      expect(metric?.dataPointType).toBe(types[row.type]);
      if (metric?.dataPointType === DataPointType.SUM) expect(metric.isMonotonic).toBe(true);
    }
    expect(metrics.has('tcp_resets')).toBe(false);
    expect(metrics.has('tcp_min_rtt_seconds')).toBe(false);
  });

  it('starts a point when its row was made, and a node total when the table was', async () => {
    const metrics = await collect(seriesTableProducer(tableWithOneRow()));
    expect(metrics.get('istio_tcp_sent_bytes')!.dataPoints[0]!.startTime).toEqual([1_700_000_060, 123e6]);
    expect(metrics.get('tcpledger_bytes_sent')!.dataPoints[0]!.startTime).toEqual([1_700_000_000, 123e6]);
    const [seconds] = metrics.get('tcpledger_bytes_sent')!.dataPoints[0]!.endTime;
    expect(Math.abs(seconds - Date.now() / 1000)).toBeLessThan(60);
  });

  it('puts the flag of a failed connect in its place among the labels', async () => {
    const metrics = await collect(seriesTableProducer(tableWithOneRow()));
    const points = metrics.get('istio_tcp_connections_closed')!.dataPoints;
    expect(points.map((p) => [p.attributes.response_flags, p.value])).toEqual([
      ['-', 0],
      ['CONNECT', 1],
    ]);
    for (const point of points) expect(Object.keys(point.attributes)).toEqual([...ISTIO_LABELS]);
  });

  it('gives histograms in seconds with the bounds of the registry', async () => {
    const metrics = await collect(seriesTableProducer(tableWithOneRow()));
    const [point] = metrics.get('tcp_connection_duration_seconds')!.dataPoints;
    expect(point!.value).toEqual({
      buckets: {
        boundaries: PAIR_METRICS.find((m) => m.name === 'tcp_connection_duration_seconds')!.bounds,
        counts: [1, ...Array(15).fill(0)],
      },
      sum: 0.0015,
      count: 1,
    });
  });
});

describe("the agent's telemetry as a metric producer", () => {
  const families: TelemetryFamily[] = [
    { definition: AGENT_METRICS.slotsRecycled, points: [{ labels: {}, value: 7 }] },
    { definition: AGENT_METRICS.ringFill, points: [{ labels: {}, value: 0.25 }] },
    {
      definition: AGENT_METRICS.settleDuration,
      points: [{ labels: {}, buckets: [1, 2, ...Array(13).fill(0)], sum: 0.001, count: 3 }],
    },
    { definition: AGENT_METRICS.kernelErrors, points: [] },
  ];

  it('leaves out families without points, and stands on the page without scope and target', async () => {
    const page = await createStockPage([telemetryProducer(telemetryOf(families), START_MS)])();
    expect(page).toContain('# TYPE tcpledger_slots_recycled_total counter\ntcpledger_slots_recycled_total 7\n');
    expect(page).toContain('\ntcpledger_ring_fill_ratio 0.25\n');
    expect(page).toContain('\ntcpledger_settle_duration_seconds_bucket{le="0.0005"} 3\n');
    expect(page).toContain('\ntcpledger_settle_duration_seconds_count 3\n');
    expect(page).not.toMatch(/kernel_errors|otel_|target_info/);
  });

  it('fails the collection on a point of the wrong kind, rather than show a wrong number', async () => {
    const wrong = [{ definition: AGENT_METRICS.settleDuration, points: [{ labels: {}, value: 1 }] }];
    await expect(createStockPage([telemetryProducer(telemetryOf(wrong))])()).rejects.toThrow(
      /tcpledger_settle_duration_seconds has a value instead of buckets/,
    );
  });
});
