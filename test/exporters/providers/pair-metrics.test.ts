/**
 * The series table held to the stock path: the same batches through real instruments of the SDK and through the table,
 * the same page of both.
 */
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createStockPage, nodeTotalsProducer } from '../../../src/exporters/otel-metrics-adapter.ts';
import { createPairMetrics } from '../../../src/exporters/providers/pair-metrics.ts';
import { createProviderTelemetry } from '../../../src/exporters/providers/telemetry.ts';
import { SeriesTable } from '../../../src/exporters/series-table.ts';
import type { IdentifiedPairs, Peers } from '../../../src/identity/types.ts';
import {
  CONNECT_ERRORS,
  histogramColumn,
  PAIR_COUNTERS,
  PAIR_HISTOGRAMS,
  PAIR_STRIDE,
} from '../../../src/semconv/pair-fields.ts';
import { pageBytes, sample, samples } from '../support/page.ts';
import { batch, NOBODY, peers, values, workload } from '../support/pairs.ts';

const VERSION = '1.2.3';

/** Both paths, fed alike. */
function createPaths() {
  const exporter = new PrometheusExporter({ preventServerStart: true });
  const meter = new MeterProvider({ readers: [exporter] }).getMeter('tcpledger', VERSION);
  const stock = createPairMetrics(meter, createProviderTelemetry(meter), VERSION);
  const serializer = new PrometheusSerializer('', false, undefined, true, true);
  const table = new SeriesTable({ version: VERSION });
  const nodePage = createStockPage([nodeTotalsProducer(table)]);
  return {
    feed(pairs: IdentifiedPairs) {
      stock.consume(pairs);
      table.consume(pairs);
    },
    stockPage: async () => serializer.serialize((await exporter.collect()).resourceMetrics),
    tablePage: async () => pageBytes(table, await nodePage()).toString(),
  };
}

/** All but what only the table has: its number of rows. */
function comparable(page: string): { meta: string[]; samples: Map<string, number> } {
  const kept = samples(page).filter((sample) => sample.name !== 'tcpledger_series');
  const families = new Set(kept.map((s) => s.name.replace(/_(count|sum|bucket)$/, '')));
  const meta = page.split('\n').filter((line) => line.startsWith('#') && families.has(line.split(' ')[2]!));
  return {
    meta: meta.sort(),
    // The labels' order counts: a label set is one text in Prometheus' exposition and in everything that hashes it.
    samples: new Map(kept.map((s) => [`${s.name}${JSON.stringify(s.labels)}`, s.value])),
  };
}

function expectSamePage(stockPage: string, tablePage: string): void {
  const stock = comparable(stockPage);
  const table = comparable(tablePage);
  expect(stock.meta).toEqual(table.meta);
  expect([...stock.samples.keys()].sort()).toEqual([...table.samples.keys()].sort());
  for (const [series, value] of table.samples) {
    const same = stock.samples.get(series)!;
    // Sums are of made-up values: equal to the rounding of doubles.
    if (/^\w+_sum\{/.test(series)) expect(Math.abs(same - value), series).toBeLessThanOrEqual(value * 1e-12);
    else expect(same, series).toBe(value);
  }
}

const name = fc.constantFrom('reviews-v1', 'a"b', 'back\\slash', 'new\nline', 'ratings', 'é😀');
const end = fc.option(
  fc.tuple(name, fc.boolean()).map(([given, bare]) => workload(given, bare ? { namespace: undefined } : {})),
  { nil: undefined },
);
const between: fc.Arbitrary<Peers> = fc
  .record({
    reporter: fc.constantFrom('source' as const, 'destination' as const),
    source: end,
    destination: end,
    securityPolicy: fc.constantFrom('mutual_tls' as const, 'unknown' as const),
  })
  .map(peers);

/** One batch row: counters, failures, and histograms of values inside their buckets. */
const row: fc.Arbitrary<Float64Array> = fc
  .record({
    counters: fc.array(fc.nat({ max: 2 ** 40 }), { minLength: PAIR_COUNTERS.length, maxLength: PAIR_COUNTERS.length }),
    errors: fc.array(fc.nat({ max: 3 }), { minLength: CONNECT_ERRORS.length, maxLength: CONNECT_ERRORS.length }),
    seconds: fc.array(
      fc.tuple(fc.constantFrom(...PAIR_HISTOGRAMS), fc.integer({ min: 0, max: 15 }), fc.integer({ min: 1, max: 9 })),
      { maxLength: 5 },
    ),
    idle: fc.boolean(),
  })
  .map(({ counters, errors, seconds, idle }) => {
    const made = new Float64Array(PAIR_STRIDE);
    if (idle) return made;
    made.set([...counters, ...errors]);
    for (const [{ name: histogram, bounds }, bucket, tenth] of seconds) {
      const low = bucket === 0 ? 0 : bounds[bucket - 1]!;
      const high = bounds[bucket] ?? 2 * low;
      const at = histogramColumn(histogram);
      made[at + bucket]! += 1;
      made[at + 16]! += Math.round((low + ((high - low) * tenth) / 10) * 1e9);
    }
    return made;
  });

describe('the stock path and the series table', () => {
  it('give the same page of the same batches', async () => {
    const step = fc.array(fc.tuple(fc.nat({ max: 3 }), row), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(between, { minLength: 4, maxLength: 4 }),
        fc.array(step, { minLength: 1, maxLength: 4 }),
        async (pairs, steps) => {
          const paths = createPaths();
          for (const rows of steps) {
            const given = batch(rows.map(([i]) => ({ slot: i + 1, peers: pairs[i]!, counts: {} })));
            rows.forEach(([, made], i) => {
              given.batch.values.set(made, i * PAIR_STRIDE);
            });
            paths.feed(given);
          }
          expectSamePage(await paths.stockPage(), await paths.tablePage());
        },
      ),
      { numRuns: 60 },
    );
  });

  it('agree between scrapes: cumulative counters, a gauge that falls, a failure that appears', async () => {
    const paths = createPaths();
    const pair = peers();
    paths.feed(batch([{ slot: 1, peers: pair, counts: { opened: 3, active: 3, sent: 11, received: 22 } }]));
    expectSamePage(await paths.stockPage(), await paths.tablePage());
    paths.feed(
      batch([
        {
          slot: 1,
          peers: pair,
          counts: { closed: 2, active: -2, duration: 5e5, connection_refused: 1, opened: 1, failed: 1 },
        },
      ]),
    );
    const page = await paths.stockPage();
    expectSamePage(page, await paths.tablePage());
    expect(sample(page, 'tcp_connections_active')).toBe(1);
    expect(sample(page, 'istio_tcp_connections_closed_total', { response_flags: '-' })).toBe(2);
    expect(sample(page, 'istio_tcp_connections_closed_total', { response_flags: 'CONNECT' })).toBe(1);
    expect(sample(page, 'istio_tcp_connections_failed_total')).toBe(1);
    expect(sample(page, 'istio_tcp_sockets_open', { reporter: 'source' })).toBe(1);
    expect(sample(page, 'istio_build', { tag: VERSION })).toBe(1);
    expect(sample(page, 'tcpledger_bytes_sent_total')).toBe(11);
  });

  it('agree on restored totals and on two slots with the same names', async () => {
    const paths = createPaths();
    const restored = [
      { peers: peers({ reporter: 'destination' }), values: values({ opened: 7, sent: 700 }) },
      { peers: undefined, values: values({ opened: 1, sent: 10 }) },
    ];
    const rows = [1, 2].map((slot) => ({ slot, peers: peers(), counts: { opened: 1, sent: slot } }));
    paths.feed(batch(rows, { restored }));
    const page = await paths.stockPage();
    expectSamePage(page, await paths.tablePage());
    expect(sample(page, 'istio_tcp_connections_opened_total', { reporter: 'source' })).toBe(2);
    expect(sample(page, 'istio_tcp_sent_bytes_total', { reporter: 'destination' })).toBe(700);
    expect(sample(page, 'tcpledger_bytes_sent_total')).toBe(713);
  });

  it.each([
    ['source', { sent: 11, received: 22 }],
    ['destination', { sent: 22, received: 11 }],
  ] as const)('11 bytes answered by 22 are received 11 and sent 22, seen by the %s', async (reporter, localView) => {
    const paths = createPaths();
    paths.feed(batch([{ slot: 1, peers: { reporter, ...NOBODY }, counts: localView }]));
    const page = await paths.stockPage();
    expect(sample(page, 'istio_tcp_sent_bytes_total')).toBe(22);
    expect(sample(page, 'istio_tcp_received_bytes_total')).toBe(11);
  });

  it('show byte series at 0 and no failures before the first', async () => {
    const paths = createPaths();
    paths.feed(batch([{ slot: 1, peers: peers(), counts: {} }]));
    const page = await paths.stockPage();
    expect(sample(page, 'istio_tcp_sent_bytes_total')).toBe(0);
    expect(sample(page, 'istio_tcp_received_bytes_total')).toBe(0);
    expect(page).not.toContain('istio_tcp_connections_failed_total');
    expect(page).not.toContain('CONNECT');
  });
});
