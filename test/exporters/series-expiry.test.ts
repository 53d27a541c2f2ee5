import { describe, expect, it } from 'vitest';
import { SeriesTable } from '../../src/exporters/series-table.ts';
import { pageBytes, sample, samples } from './support/page.ts';
import { batch, type Counts, NOBODY, peers, type Row, SERVER_SERVICE, workload } from './support/pairs.ts';

const TTL_MS = 900_000;
const START_MS = 1_700_000_000_000;

/** A table with a clock that the test moves. */
function setUp() {
  const clock = { ms: START_MS };
  const table = new SeriesTable({ version: '1.2.3', now: () => clock.ms });
  const consume = (...rows: Row[]) => table.consume(batch(rows, { seriesTtlMs: TTL_MS }));
  const workloads = () =>
    samples(pageBytes(table).toString('utf8'))
      .filter((s) => s.name === 'istio_tcp_connections_opened_total')
      .map((s) => `${s.labels.source_workload} → ${s.labels.destination_workload}`);
  return { clock, table, consume, workloads };
}

const CLOSED: Counts = { opened: 1, closed: 1, sent: 11 };

describe('series expiry', () => {
  it('drops a series when an end has been gone and the series idle for series_ttl, not before', () => {
    const { clock, consume, workloads } = setUp();
    const client = workload('client');
    consume({ slot: 1, peers: peers({ source: client }), counts: CLOSED });
    client.goneSinceMs = START_MS;
    clock.ms = START_MS + TTL_MS - 1;
    expect(workloads()).toEqual(['client → server']);
    clock.ms = START_MS + TTL_MS + 10_000;
    expect(workloads()).toEqual([]);
  });

  it('counts the time from the later of the two', () => {
    const { clock, consume, workloads } = setUp();
    const client = workload('client');
    const row = { slot: 1, peers: peers({ source: client }), counts: CLOSED };
    consume(row);
    client.goneSinceMs = START_MS;
    clock.ms = START_MS + TTL_MS / 2;
    consume(row);
    clock.ms = START_MS + TTL_MS + 10_000;
    expect(workloads()).toHaveLength(1);
    clock.ms = START_MS + TTL_MS * 1.5 + 20_000;
    expect(workloads()).toEqual([]);
  });

  it.each(['source', 'destination'] as const)('is enough at the %s', (end) => {
    const { clock, consume, workloads } = setUp();
    consume({ slot: 1, peers: peers({ [end]: workload('gone', { goneSinceMs: START_MS }) }), counts: CLOSED });
    clock.ms += TTL_MS + 10_000;
    expect(workloads()).toEqual([]);
  });

  it('never drops a series whose ends live, however idle', () => {
    const { clock, consume, workloads } = setUp();
    consume({ slot: 1, peers: peers(), counts: CLOSED });
    clock.ms += 100 * TTL_MS;
    expect(workloads()).toHaveLength(1);
  });

  it('never drops a series with an open connection', () => {
    const { clock, consume, workloads } = setUp();
    const gone = peers({ source: workload('client', { goneSinceMs: START_MS }) });
    consume({ slot: 1, peers: gone, counts: { opened: 1, active: 1 } });
    clock.ms += 3 * TTL_MS;
    expect(workloads()).toHaveLength(1);
    consume({ slot: 1, peers: gone, counts: { closed: 1, active: -1 } });
    clock.ms += TTL_MS + 10_000;
    expect(workloads()).toEqual([]);
  });

  it('does not take an unknown end for a gone one', () => {
    const { clock, consume, workloads } = setUp();
    consume({ slot: 1, peers: peers({ ...NOBODY }), counts: CLOSED });
    consume({ slot: 2, peers: peers({ source: undefined }), counts: CLOSED });
    clock.ms += 3 * TTL_MS;
    expect(workloads()).toEqual(['unknown → unknown', 'unknown → server']);
  });

  it('takes an owner for gone only when all of its pods that were seen are', () => {
    const { clock, consume, workloads } = setUp();
    // More pods than are kept once they are gone, behind one label set.
    const pods = Array.from({ length: 20 }, (_, i) => workload('client', { podName: `client-${i}` }));
    for (const [slot, source] of pods.entries()) {
      consume({ slot, peers: peers({ source }), counts: CLOSED });
      if (slot < 19) source.goneSinceMs = START_MS;
    }
    clock.ms += 3 * TTL_MS;
    expect(workloads()).toHaveLength(1);
    pods[19]!.goneSinceMs = START_MS;
    clock.ms += 10_000;
    expect(workloads()).toEqual([]);
  });

  it('starts a series that comes back at 0, from a slot known before too', () => {
    const { clock, table, consume } = setUp();
    const row = { slot: 1, peers: peers({ source: workload('client', { goneSinceMs: START_MS }) }), counts: CLOSED };
    consume(row);
    consume(row);
    clock.ms += TTL_MS + 10_000;
    consume();
    consume(row);
    const text = pageBytes(table).toString('utf8');
    expect(sample(text, 'istio_tcp_connections_opened_total')).toBe(1);
    expect(sample(text, 'tcp_segments_sent_total')).toBe(0);
    const [opened] = table.pairFamilies();
    expect(opened!.points[0]!.startMs).toBe(clock.ms);
  });

  it('uses a dropped row again, for another label set and from 0; a slot of the old one does not count into it', () => {
    const { clock, table, consume, workloads } = setUp();
    const old = { slot: 1, peers: peers({ source: workload('old', { goneSinceMs: START_MS }) }), counts: CLOSED };
    consume(old);
    clock.ms += TTL_MS + 10_000;
    consume();
    consume({ slot: 2, peers: peers({ source: workload('new') }), counts: { opened: 10 } });
    expect(table.snapshot().map((set) => set.rows.length)).toEqual([1, 1]);
    consume(old);
    expect(workloads()).toEqual(['new → server', 'old → server']);
    const text = pageBytes(table).toString('utf8');
    expect(sample(text, 'istio_tcp_connections_opened_total', { source_workload: 'new' })).toBe(10);
    expect(sample(text, 'istio_tcp_connections_opened_total', { source_workload: 'old' })).toBe(1);
  });

  it('keeps memory flat under churn of workloads', () => {
    const { clock, table, consume } = setUp();
    for (let i = 0; i < 500; i++) {
      const source = workload(`job-${i}`, { goneSinceMs: clock.ms });
      consume({ slot: i % 50, generation: i, peers: peers({ source, service: SERVER_SERVICE }), counts: CLOSED });
      clock.ms += TTL_MS / 10;
    }
    expect(table.snapshot()[0]!.rows.length).toBeLessThan(15);
  });

  it('leaves the totals of the node as they are', () => {
    const { clock, table, consume } = setUp();
    consume({ slot: 1, peers: peers({ source: workload('client', { goneSinceMs: START_MS }) }), counts: CLOSED });
    clock.ms += TTL_MS + 10_000;
    consume();
    expect(pageBytes(table).length).toBe(0);
    const totals = new Map(table.nodeFamilies().map((f) => [f.definition.name, f.points[0]]));
    expect(totals.get('tcpledger_connections_opened')).toMatchObject({ value: 1 });
    expect(totals.get('tcpledger_bytes_sent')).toMatchObject({ value: 11 });
  });

  it('leaves series for ever when no series_ttl is given', () => {
    const clock = { ms: START_MS };
    const table = new SeriesTable({ version: '1.2.3', now: () => clock.ms });
    const gone = peers({ source: workload('client', { goneSinceMs: START_MS }) });
    table.consume(batch([{ slot: 1, peers: gone, counts: CLOSED }]));
    clock.ms += 100 * TTL_MS;
    expect(sample(pageBytes(table).toString('utf8'), 'istio_tcp_connections_opened_total')).toBe(1);
  });
});
