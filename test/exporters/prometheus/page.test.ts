import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createStockPage,
  nodeTotalsProducer,
  seriesTableProducer,
} from '../../../src/exporters/otel-metrics-adapter.ts';
import { SeriesTable } from '../../../src/exporters/series-table.ts';
import { istioLabelValues } from '../../../src/semconv/istio-labels.ts';
import { CONNECT_ERRORS, PAIR_COUNTERS, PAIR_HISTOGRAMS, type PairField } from '../../../src/semconv/pair-fields.ts';
import { pageBytes, samples } from '../support/page.ts';
import { batch, type Counts, peers, type Row, workload } from '../support/pairs.ts';

const FIELDS: readonly PairField[] = [...PAIR_COUNTERS, ...CONNECT_ERRORS, ...PAIR_HISTOGRAMS.map((h) => h.name)];

/** Any string a label can be given: quotes, backslashes, line feeds and lone surrogates more often than chance has them. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({
    unit: fc.constantFrom('\\', '"', '\n', '\r', '\0', ',', '}', ' ', 'é', '😀', '\ud800', '\udfff', 'a', '-', '='),
    maxLength: 12,
  }),
  fc.string({ unit: 'grapheme', maxLength: 300, minLength: 200 }),
);
const maybe = fc.option(text, { nil: undefined });

const workloads = fc.option(
  fc
    .record({
      name: text,
      namespace: maybe,
      canonicalService: maybe,
      canonicalRevision: maybe,
      principal: maybe,
      cluster: maybe,
      region: maybe,
      zone: maybe,
    })
    .map(({ name, ...rest }) => workload(name, rest)),
  { nil: undefined },
);

/** Counters as the kernel has them (64 bits), and what sums of them may become as doubles. */
const counts: fc.Arbitrary<Counts> = fc
  .array(
    fc.tuple(
      fc.constantFrom(...FIELDS),
      fc.oneof(
        fc.nat(),
        fc.maxSafeNat(),
        fc.constantFrom(
          0,
          1,
          999_999_999,
          1e9,
          1e9 + 1,
          2 ** 32,
          2 ** 53 - 1,
          2 ** 53,
          2 ** 53 + 2,
          2 ** 63,
          2 ** 64,
          1e21,
        ),
        fc.double({ min: 0, noDefaultInfinity: true, noNaN: true }),
      ),
    ),
    { maxLength: 12 },
  )
  .map((entries) => Object.fromEntries(entries));

const rows: fc.Arbitrary<Row[]> = fc
  .array(
    fc.record({
      reporter: fc.constantFrom('source' as const, 'destination' as const),
      source: workloads,
      destination: workloads,
      service: fc.option(fc.record({ hostname: text, name: text, namespace: maybe }), { nil: undefined }),
      securityPolicy: fc.constantFrom('mutual_tls' as const, 'unknown' as const),
      counts,
    }),
    { minLength: 1, maxLength: 6 },
  )
  .map((all) => all.map(({ counts: c, ...p }, slot) => ({ slot, peers: peers(p), counts: c })));

describe('chunked page and stock serializer', () => {
  it('give the same bytes for any labels and values, whatever the size of the chunks', async () => {
    await fc.assert(
      fc.asyncProperty(rows, fc.integer({ min: 1, max: 20_000 }), async (all, chunk) => {
        const table = new SeriesTable({ version: '1.2.3' });
        table.consume(batch(all));
        const rest = await createStockPage([nodeTotalsProducer(table)])();
        const stock = await createStockPage([seriesTableProducer(table)])();
        expect(pageBytes(table, rest, 'text', chunk).equals(Buffer.from(stock))).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});

describe('any page', () => {
  it('reads back as the label sets that were put in, each once', () => {
    fc.assert(
      fc.property(rows, fc.constantFrom('text' as const, 'openmetrics' as const), (all, format) => {
        const table = new SeriesTable({ version: '1.2.3' });
        table.consume(batch(all));
        const seen = samples(pageBytes(table, '', format).toString('utf8'));
        const opened = seen.filter((s) => s.name === 'istio_tcp_connections_opened_total');
        // UTF-8 has no lone surrogates: label sets that differ in them alone are one series.
        const expected = new Set(all.map((row) => JSON.stringify(istioLabelValues(row.peers).map(wellFormed))));
        expect(opened.map((s) => JSON.stringify(Object.values(s.labels))).sort()).toEqual([...expected].sort());
        expect(new Set(seen.map((s) => s.name + JSON.stringify(s.labels))).size).toBe(seen.length);
      }),
      { numRuns: 100 },
    );
  });
});

const wellFormed = (value: string): string => Buffer.from(value, 'utf8').toString('utf8');
