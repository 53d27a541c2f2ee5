import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SeriesTable, sharedSeriesTable } from '../../src/exporters/series-table.ts';
import { CONNECT_ERRORS, PAIR_COUNTERS, type PairField } from '../../src/semconv/pair-fields.ts';
import { ISTIO_LABELS, PAIR_METRICS } from '../../src/semconv/registry.ts';
import { pageBytes, sample, samples } from './support/page.ts';
import { batch, type Counts, NOBODY, pairSource, peers, type Row, values, workload } from './support/pairs.ts';

const newTable = () => new SeriesTable({ version: '1.2.3' });
const page = (table: SeriesTable) => pageBytes(table).toString('utf8');

/** Client sends 11 bytes, server answers 22: what the socket at each end counts. */
const CLIENT_11_22: Counts = { opened: 1, closed: 1, sent: 11, received: 22 };
const SERVER_11_22: Counts = { opened: 1, closed: 1, sent: 22, received: 11 };

const bothEnds: Row[] = [
  { slot: 1, peers: peers({ reporter: 'source' }), counts: CLIENT_11_22 },
  { slot: 2, peers: peers({ reporter: 'destination' }), counts: SERVER_11_22 },
];

describe('series table: telemetry.md §1', () => {
  it.each([
    ['source', 'istio_tcp_received_bytes_total', 11],
    ['source', 'istio_tcp_sent_bytes_total', 22],
    ['destination', 'istio_tcp_received_bytes_total', 11],
    ['destination', 'istio_tcp_sent_bytes_total', 22],
  ])('11/22: reporter %s, %s is %i', (reporter, name, expected) => {
    const table = newTable();
    table.consume(batch(bothEnds));
    expect(sample(page(table), name, { reporter })).toBe(expected);
  });

  it('shows a connection between two ends of this node as two series with the same labels', () => {
    const table = newTable();
    table.consume(batch(bothEnds));
    for (const name of ['istio_tcp_connections_opened_total', 'istio_tcp_connections_closed_total']) {
      const found = samples(page(table)).filter((s) => s.name === name);
      expect(found.map((s) => s.value)).toEqual([1, 1]);
      const [source, destination] = found.map(({ labels: { reporter, ...labels } }) => ({ reporter, labels }));
      expect([source!.reporter, destination!.reporter]).toEqual(['source', 'destination']);
      expect(source!.labels).toEqual(destination!.labels);
    }
  });

  it('counts a failed connect as opened{-}, closed{CONNECT} and failed{CONNECT}, with byte series at 0', () => {
    const table = newTable();
    table.consume(batch([{ slot: 1, peers: peers(), counts: { opened: 1, failed: 1, connection_refused: 1 } }]));
    const text = page(table);
    expect(sample(text, 'istio_tcp_connections_opened_total', { response_flags: '-' })).toBe(1);
    expect(sample(text, 'istio_tcp_connections_closed_total', { response_flags: 'CONNECT' })).toBe(1);
    expect(sample(text, 'istio_tcp_connections_closed_total', { response_flags: '-' })).toBe(0);
    expect(sample(text, 'istio_tcp_connections_failed_total', { response_flags: 'CONNECT' })).toBe(1);
    expect(sample(text, 'istio_tcp_sent_bytes_total', { response_flags: '-' })).toBe(0);
    expect(sample(text, 'istio_tcp_received_bytes_total', { response_flags: '-' })).toBe(0);
    expect(sample(text, 'tcp_connect_failures_total', { error_type: 'connection_refused' })).toBe(1);
  });

  it('has the byte series of a zero-byte connection at 0, and none for failures that did not happen', () => {
    const table = newTable();
    table.consume(batch([{ slot: 1, peers: peers(), counts: { opened: 1, closed: 1 } }]));
    const text = page(table);
    expect(sample(text, 'istio_tcp_sent_bytes_total')).toBe(0);
    expect(sample(text, 'istio_tcp_received_bytes_total')).toBe(0);
    expect(text).not.toContain('CONNECT');
    expect(text).not.toContain('istio_tcp_connections_failed');
    expect(text).not.toContain('tcp_connect_failures');
    expect(text).not.toContain('tcp_resets');
  });

  it('has all 27 labels in their order on every Istio series, whoever the ends are', () => {
    const table = newTable();
    table.consume(batch([...bothEnds, { slot: 3, peers: peers({ ...NOBODY }), counts: { opened: 1, failed: 1 } }]));
    const istio = samples(page(table)).filter((s) => s.name.startsWith('istio_'));
    expect(istio).toHaveLength(3 * 4 + 2);
    for (const { labels } of istio) expect(Object.keys(labels)).toEqual([...ISTIO_LABELS]);
  });

  it('has no label value that is empty, and `-` in response_flags alone', () => {
    const blank = workload('', {
      namespace: '-',
      canonicalService: '',
      principal: '-',
      cluster: '',
      region: '',
      zone: '-',
    });
    const table = newTable();
    table.consume(
      batch([
        ...bothEnds,
        { slot: 3, peers: peers({ source: blank, destination: blank, service: undefined }), counts: CLIENT_11_22 },
        { slot: 4, peers: peers({ ...NOBODY }), counts: { opened: 1, failed: 1, aborted: 1, resets_sent: 1 } },
      ]),
    );
    for (const { labels } of samples(page(table))) {
      for (const [name, value] of Object.entries(labels)) {
        expect(value).not.toBe('');
        if (value === '-') expect(name).toBe('response_flags');
      }
    }
  });

  it('shows bytes of a connection while it is open', () => {
    const table = newTable();
    table.consume(batch([{ slot: 1, peers: peers(), counts: { opened: 1, active: 1, sent: 1_000_000 } }]));
    const text = page(table);
    expect(sample(text, 'istio_tcp_received_bytes_total')).toBe(1_000_000);
    expect(sample(text, 'istio_tcp_connections_closed_total')).toBe(0);
    expect(sample(text, 'tcp_connections_active')).toBe(1);
  });

  it('keeps 64-bit sizes exact up to 2^53', () => {
    const table = newTable();
    table.consume(batch([{ slot: 1, peers: peers(), counts: { sent: 2 ** 53 - 4 } }]));
    table.consume(batch([{ slot: 1, peers: peers(), counts: { sent: 3 } }]));
    expect(page(table)).toMatch(/^istio_tcp_received_bytes_total\{.*\} 9007199254740991$/m);
  });
});

describe('series table: rows', () => {
  it('sums slots, generations and sources of one label set into one row', () => {
    const table = newTable();
    table.consume(batch([{ slot: 1, peers: peers(), counts: { opened: 1 } }]));
    table.consume(batch([{ slot: 1, generation: 2, peers: peers(), counts: { opened: 2 } }]));
    table.consume(batch([{ slot: 70_000, peers: peers(), counts: { opened: 4 } }]));
    table.consume(batch([{ slot: 1, peers: peers(), counts: { opened: 8 } }], { source: pairSource() }));
    expect(sample(page(table), 'istio_tcp_connections_opened_total')).toBe(15);
  });

  it('does not take the slot of one source, or of one generation, for that of another', () => {
    const table = newTable();
    const other = (name: string) => peers({ destination: workload(name) });
    table.consume(batch([{ slot: 1, peers: peers(), counts: { opened: 1 } }]));
    table.consume(batch([{ slot: 1, peers: other('second'), counts: { opened: 2 } }], { source: pairSource() }));
    table.consume(batch([{ slot: 1, generation: 2, peers: other('third'), counts: { opened: 4 } }]));
    const opened = (destination_workload: string) =>
      sample(page(table), 'istio_tcp_connections_opened_total', { destination_workload });
    expect([opened('server'), opened('second'), opened('third')]).toEqual([1, 2, 4]);
  });

  it('keeps nothing of the batch, whose arrays the receiver uses again', () => {
    const table = newTable();
    const pairs = batch([{ slot: 1, peers: peers(), counts: { opened: 1 } }]);
    table.consume(pairs);
    pairs.batch.values.fill(99);
    pairs.batch.slot.fill(99);
    expect(sample(page(table), 'istio_tcp_connections_opened_total')).toBe(1);
  });

  it('tells label sets apart by their values, not by their text joined', () => {
    const table = newTable();
    const split = (name: string, canonicalService: string) => peers({ source: workload(name, { canonicalService }) });
    table.consume(
      batch([
        { slot: 1, peers: split('a","b', 'c'), counts: { opened: 1 } },
        { slot: 2, peers: split('a', 'b","c'), counts: { opened: 2 } },
      ]),
    );
    const opened = samples(page(table)).filter((s) => s.name === 'istio_tcp_connections_opened_total');
    expect(opened.map((s) => s.value)).toEqual([1, 2]);
  });

  it('adds the totals that an earlier agent left, to the rows and to the node', () => {
    const table = newTable();
    table.consume(batch(bothEnds, { restored: [{ peers: peers(), values: values({ opened: 5, sent: 100 }) }] }));
    expect(sample(page(table), 'istio_tcp_connections_opened_total', { reporter: 'source' })).toBe(6);
    expect(sample(page(table), 'istio_tcp_received_bytes_total', { reporter: 'source' })).toBe(111);
    expect(nodeTotal(table, 'tcpledger_connections_opened')).toBe(7);
    expect(nodeTotal(table, 'tcpledger_bytes_sent')).toBe(133);
  });

  it('adds what it left of workloads that are forgotten to the node alone', () => {
    const table = newTable();
    const before = samples(page(table)).length;
    table.consume(batch([], { restored: [{ peers: undefined, values: values({ opened: 5, sent: 100 }) }] }));
    expect(samples(page(table))).toHaveLength(before);
    expect(nodeTotal(table, 'tcpledger_connections_opened')).toBe(5);
    expect(nodeTotal(table, 'tcpledger_bytes_sent')).toBe(100);
  });

  it('grows beyond any capacity it started with', () => {
    const table = newTable();
    const rows = Array.from({ length: 300 }, (_, i) => ({
      slot: i * 50,
      peers: peers({ source: workload(`client-${i}`) }),
      counts: { opened: i + 1 },
    }));
    table.consume(batch(rows));
    table.consume(batch(rows));
    const opened = samples(page(table)).filter((s) => s.name === 'istio_tcp_connections_opened_total');
    expect(opened.map((s) => s.value)).toEqual(rows.map((row) => 2 * row.counts.opened));
  });

  it('is one for all exporters of a pipeline', () => {
    const kept = new Map<string, unknown>();
    const pipeline = {
      id: 'metrics',
      signal: 'metrics' as const,
      shared: <T>(key: string, create: () => T): T => {
        if (!kept.has(key)) kept.set(key, create());
        return kept.get(key) as T;
      },
    };
    expect(sharedSeriesTable(pipeline, '1')).toBe(sharedSeriesTable(pipeline, '1'));
  });
});

describe('series table: snapshots', () => {
  it('stay as they were while the table goes on', () => {
    const table = newTable();
    table.consume(batch(bothEnds));
    const before = table.snapshot();
    const values = before.map((set) => set.values.slice());
    table.consume(batch([...bothEnds, { slot: 9, peers: peers({ ...NOBODY }), counts: { opened: 1 } }]));
    expect(before.map((set) => set.values)).toEqual(values);
    expect(before[0]!.rows).toHaveLength(2);
    expect(table.snapshot()[0]!.rows).toHaveLength(3);
  });

  it('are shared between those who ask while nothing changes', () => {
    const table = newTable();
    table.consume(batch(bothEnds));
    const first = table.snapshot();
    table.consume(batch([]));
    expect(table.snapshot()).toBe(first);
    table.consume(batch(bothEnds));
    expect(table.snapshot()).not.toBe(first);
  });
});

describe('series table: the whole node', () => {
  it('sums connections and bytes in the view of the local sockets, and open sockets by reporter', () => {
    const table = newTable();
    table.consume(
      batch([
        { slot: 1, peers: peers(), counts: { opened: 3, closed: 1, failed: 1, active: 1, sent: 11, received: 22 } },
        {
          slot: 0,
          peers: peers({ reporter: 'destination', ...NOBODY }),
          counts: { adopted: 2, active: 2, sent: 100, received: 200 },
        },
      ]),
    );
    expect(nodeTotal(table, 'tcpledger_connections_opened')).toBe(3);
    expect(nodeTotal(table, 'tcpledger_connections_closed')).toBe(1);
    expect(nodeTotal(table, 'tcpledger_connections_failed')).toBe(1);
    expect(nodeTotal(table, 'tcpledger_connections_adopted')).toBe(2);
    expect(nodeTotal(table, 'tcpledger_bytes_sent')).toBe(111);
    expect(nodeTotal(table, 'tcpledger_bytes_received')).toBe(222);
    expect(nodeTotal(table, 'istio_tcp_sockets_open', { reporter: 'source' })).toBe(1);
    expect(nodeTotal(table, 'istio_tcp_sockets_open', { reporter: 'destination' })).toBe(2);
    expect(nodeTotal(table, 'istio_build', { component: 'tcpledger', tag: '1.2.3' })).toBe(1);
    expect(nodeTotal(table, 'tcpledger_series', { set: 'istio' })).toBe(2);
  });

  it('shows its families at 0 before the first connection', () => {
    const table = newTable();
    expect(nodeTotal(table, 'tcpledger_connections_opened')).toBe(0);
    expect(nodeTotal(table, 'istio_tcp_sockets_open', { reporter: 'source' })).toBe(0);
    expect(page(table)).toBe('');
  });
});

describe('series table: sums', () => {
  const FIELDS: readonly PairField[] = [...PAIR_COUNTERS, ...CONNECT_ERRORS];
  const row = fc.record({
    slot: fc.nat(40),
    generation: fc.nat(2),
    role: fc.constantFrom('source' as const, 'destination' as const),
    counts: fc.dictionary(fc.constantFrom(...FIELDS), fc.nat(2 ** 32)) as fc.Arbitrary<Counts>,
  });

  it('over all series equal the sums of the batches, whatever their order', () => {
    fc.assert(
      fc.property(
        fc
          .array(fc.array(row, { maxLength: 10 }), { minLength: 1, maxLength: 10 })
          .chain((batches) =>
            fc.tuple(fc.constant(batches), fc.shuffledSubarray(batches, { minLength: batches.length })),
          ),
        ([batches, shuffled]) => {
          const fill = (all: typeof batches): SeriesTable => {
            const table = newTable();
            for (const rows of all) {
              table.consume(
                batch(
                  // A slot and generation is one pair: its names follow from the two.
                  rows.map(({ slot, generation, role, counts }) => ({
                    slot: slot * 2 + (role === 'source' ? 0 : 1),
                    generation,
                    peers: peers({ reporter: role, source: workload(`w${slot % 7}-${generation}`) }),
                    counts,
                  })),
                ),
              );
            }
            return table;
          };
          const [straight, other] = [fill(batches), fill(shuffled)];
          for (const metric of PAIR_METRICS.filter((m) => m.type !== 'histogram')) {
            let expected = 0;
            for (const { role, counts } of batches.flat()) {
              for (const series of metric.series) expected += counts[series[role]] ?? 0;
            }
            expect(sumOf(straight, metric.name)).toBe(expected);
            expect(sumOf(other, metric.name)).toBe(expected);
          }
          const opened = batches.flat().reduce((sum, { counts }) => sum + (counts.opened ?? 0), 0);
          expect(nodeTotal(straight, 'tcpledger_connections_opened')).toBe(opened);
        },
      ),
      { numRuns: 100 },
    );
  });
});

function sumOf(table: SeriesTable, name: string): number {
  const family = table.pairFamilies().find(({ definition }) => definition.name === name);
  return (family?.points ?? []).reduce((sum, point) => sum + ('value' in point ? point.value : 0), 0);
}

function nodeTotal(table: SeriesTable, name: string, labels: Record<string, string> = {}): number {
  const family = table.nodeFamilies().find(({ definition }) => definition.name === name);
  const point = family?.points.find((p) => Object.entries(labels).every(([label, value]) => p.labels[label] === value));
  if (point === undefined || !('value' in point)) throw new Error(`No ${name} with ${JSON.stringify(labels)}`);
  return point.value;
}
