/** When a slot gets its labels, what is held until then, and when the kernel half is asked for a fresh slot. */
import { describe, expect, it } from 'vitest';
import { MAX_HELD_RECORDS } from '../../src/identity/logs-outlet.ts';
import { MetricsOutlet } from '../../src/identity/metrics-outlet.ts';
import { MAX_WAITING } from '../../src/identity/namer.ts';
import type { Pair } from '../../src/receiver/types.ts';
import { ACTIVE, batchOf, recordOf, SENT, service, workload } from './fakes.ts';
import { createRig, RESOLVE_TIMEOUT_MS, SERIES_TTL_MS } from './rig.ts';

const client = workload({ uid: 'client', addresses: ['10.0.0.1'] });
const server = workload({ uid: 'server', addresses: ['10.0.0.2'] });

describe('waiting', () => {
  it('29: passes on a late discovery with the right labels, rows summed and records in order', () => {
    const { clock, source, shelf, metrics, logs, pairs, records } = createRig();
    shelf('file').upsertWorkload(client);
    const pair = source.add(clock);
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 10, [ACTIVE]: 2 }]]));
    logs.consume({ source, records: [recordOf(pair, { connectionId: 'a' })] });
    clock.advance(1_000);
    metrics.consume(batchOf(source, 2, [[pair, { [SENT]: 5, [ACTIVE]: -1 }]]));
    logs.consume({ source, records: [recordOf(pair, { connectionId: 'b' })] });
    clock.advance(1_000);
    expect(pairs.rows).toEqual([]);
    expect(records.lines).toEqual([]);
    shelf('file').upsertWorkload(server);
    clock.advance(1);
    expect(pairs.rows).toHaveLength(1);
    expect(pairs.rows[0]).toMatchObject({ sent: 15, active: 1, peers: { destination: { name: 'server' } } });
    expect(records.lines.map(({ record }) => record.connectionId)).toEqual(['a', 'b']);
    expect(records.lines.every(({ peers }) => peers === pairs.rows[0]!.peers)).toBe(true);
  });

  it('ends at the time-out, not before and not later', () => {
    const { clock, source, metrics, pairs, results, namer } = createRig();
    metrics.consume(batchOf(source, 1, [[source.add(clock), { [SENT]: 1 }]]));
    clock.advance(RESOLVE_TIMEOUT_MS - 1);
    expect(pairs.rows).toEqual([]);
    clock.advance(1);
    expect(pairs.rows[0]!.peers).toMatchObject({ source: undefined, destination: undefined });
    expect(results).toEqual(new Map([['timeout', 2]]));
    expect(namer.waitingCount).toBe(0);
  });

  it('does not hold up those that are known', () => {
    const { clock, source, shelf, metrics, pairs, logs, records } = createRig();
    shelf('file').upsertWorkload(client);
    shelf('file').upsertWorkload(server);
    const known = source.add(clock);
    const unknown = source.add(clock, { remoteAddress: '203.0.113.1' });
    metrics.consume(
      batchOf(source, 1, [
        [unknown, { [SENT]: 1 }],
        [known, { [SENT]: 2 }],
      ]),
    );
    logs.consume({ source, records: [recordOf(unknown), recordOf(known)] });
    expect(pairs.rows.map(({ slot, sent }) => [slot, sent])).toEqual([[known.slot, 2]]);
    expect(records.lines.map(({ record }) => record.slot)).toEqual([known.slot]);
    clock.advance(RESOLVE_TIMEOUT_MS);
    expect(pairs.rows.map(({ slot, sent }) => [slot, sent])).toEqual([
      [known.slot, 2],
      [unknown.slot, 1],
    ]);
  });

  it('is not for what nobody could name: the host source and an address elsewhere', () => {
    const { clock, source, metrics, pairs, results } = createRig({ sources: ['host'] });
    const pair = source.add(clock, { executable: 'curl', remoteAddress: '203.0.113.1' });
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 1 }]]));
    expect(pairs.rows[0]!.peers).toMatchObject({ source: { name: 'curl' }, destination: undefined });
    expect(results).toEqual(
      new Map([
        ['known', 1],
        ['unknown', 1],
      ]),
    );
  });

  it('is for a source that has no state yet, though one behind it could answer', () => {
    const { clock, source, shelf, metrics, pairs } = createRig({ sources: ['file', 'host'], synced: false });
    shelf('host').markSynced();
    const pair = source.add(clock, { executable: 'curl' });
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 1 }]]));
    expect(pairs.rows).toEqual([]);
    shelf('file').upsertWorkload(client);
    shelf('file').upsertWorkload(server);
    clock.advance(1);
    shelf('file').markSynced();
    clock.advance(1);
    expect(pairs.rows[0]!.peers).toMatchObject({ source: { name: 'client' }, destination: { name: 'server' } });
  });

  it('is for a cgroup that is being looked up, and ends when there is none', () => {
    const { clock, source, cgroups, namer, metrics, pairs } = createRig({ sources: ['host'] });
    cgroups.lookingFor.add(7);
    const pair = source.add(clock, { executable: 'curl', cgroupId: 7, remoteAddress: '203.0.113.1' });
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 1 }]]));
    expect(pairs.rows).toEqual([]);
    cgroups.lookingFor.clear();
    namer.reconsider({ addresses: new Set(), cgroups: new Set([7]), ranges: [], synced: false });
    clock.advance(1);
    expect(pairs.rows[0]!.peers.source?.name).toBe('curl');
  });

  it('names as of the pair’s creation: the holder of then, though another has the address now', () => {
    const { clock, source, shelf, metrics, pairs } = createRig();
    shelf('file').upsertWorkload(client);
    shelf('file').upsertWorkload(server);
    clock.advance(1_000);
    const pair = source.add(clock);
    clock.advance(1_000);
    shelf('file').removeWorkload('server');
    shelf('file').upsertWorkload(workload({ uid: 'other', addresses: ['10.0.0.2'] }));
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 1 }]]));
    expect(pairs.rows[0]!.peers.destination?.name).toBe('server');
  });

  it('has room for so many slots; one more is labelled at once by what is known', () => {
    const { clock, source, metrics, pairs, results, namer } = createRig();
    const rows = Array.from({ length: MAX_WAITING + 3 }, (_, i) =>
      source.add(clock, { remoteAddress: `10.${1 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}` }),
    );
    metrics.consume(
      batchOf(
        source,
        1,
        rows.map((pair) => [pair, { [SENT]: 1 }]),
      ),
    );
    expect(namer.waitingCount).toBe(MAX_WAITING);
    expect(pairs.rows).toHaveLength(3);
    expect(results.get('given_up')).toBe(6);
    clock.advance(RESOLVE_TIMEOUT_MS);
    expect(pairs.rows).toHaveLength(rows.length);
  });

  it('has room for so many records; one more and its slot no longer waits', () => {
    const { clock, source, logs, records } = createRig();
    const pair = source.add(clock);
    const many = Array.from({ length: MAX_HELD_RECORDS + 1 }, (_, i) => recordOf(pair, { connectionId: String(i) }));
    logs.consume({ source, records: many.slice(0, -1) });
    expect(records.lines).toHaveLength(0);
    logs.consume({ source, records: many.slice(-1) });
    expect(records.lines.map(({ record }) => record.connectionId)).toEqual(
      many.map(({ connectionId }) => connectionId),
    );
  });

  it('holds copies: a receiver may reuse its records', () => {
    const { clock, source, logs, records } = createRig();
    const pair = source.add(clock);
    const reused = recordOf(pair, { connectionId: 'first' });
    logs.consume({ source, records: [reused] });
    Object.assign(reused, { connectionId: 'second' });
    clock.advance(RESOLVE_TIMEOUT_MS);
    expect(records.lines[0]!.record.connectionId).toBe('first');
  });

  it('ends at the shutdown, and what comes afterwards passes', () => {
    const { clock, source, namer, metrics, pairs } = createRig();
    const pair = source.add(clock);
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 1 }]]));
    namer.close();
    expect(pairs.rows).toHaveLength(1);
    const late = source.add(clock, { remoteAddress: '10.0.0.3' });
    metrics.consume(
      batchOf(source, 2, [
        [pair, { [SENT]: 2 }],
        [late, { [SENT]: 4 }],
      ]),
    );
    expect(pairs.rows.map(({ sent }) => sent)).toEqual([1, 2, 4]);
  });

  it('hands on what it can no longer ask about', () => {
    const { source, metrics, logs, pairs, records, clock } = createRig();
    const pair = source.add(clock, { role: 'destination' });
    source.pairs.clear();
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 1 }]]));
    logs.consume({ source, records: [recordOf(pair)] });
    expect(pairs.rows[0]!.peers).toMatchObject({ source: undefined, destination: undefined });
    expect(records.lines[0]!.peers).toMatchObject({ reporter: 'destination', source: undefined });
  });
});

describe('batches', () => {
  it('of known slots go on as they are, with series_ttl', () => {
    const { clock, source, shelf, metrics, pairs } = createRig();
    shelf('file').upsertWorkload(client);
    shelf('file').upsertWorkload(server);
    const batch = batchOf(source, 1, [[source.add(clock), { [SENT]: 1 }]]);
    metrics.consume(batch);
    metrics.consume(batch);
    expect(pairs.batches.map((identified) => identified.batch)).toEqual([batch, batch]);
    expect(pairs.batches[1]!.batch).toBe(batch);
    expect(pairs.batches[1]!.peers[0]).toBe(pairs.batches[0]!.peers[0]);
    expect(pairs.batches[0]!.seriesTtlMs).toBe(SERIES_TTL_MS);
  });

  it('put names to restored totals, and say once what they cannot read', () => {
    const { clock, source, shelf, metrics, pairs, logger } = createRig();
    shelf('file').upsertWorkload(client);
    shelf('file').upsertWorkload(server);
    const pair = source.add(clock);
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 1 }]]));
    const labels = source.remembered.get(`${pair.slot}/1`)!;
    const values = new Float64Array(3);
    const restored = [
      { labels, values },
      { labels: '{', values },
      { labels: '{}', values },
      { labels: undefined, values },
    ];
    metrics.consume({ ...batchOf(source, 2, []), restored });
    const [known, ...unknown] = pairs.batches.at(-1)!.restored!;
    expect(known!.values).toBe(values);
    expect(known!.peers).toEqual(pairs.rows[0]!.peers);
    expect(unknown).toEqual([values, values, values].map((values) => ({ peers: undefined, values })));
    expect(logger.lines.filter((line) => line.startsWith('warn'))).toHaveLength(1);
  });
});

describe('renewal', () => {
  it('23: a reused address gives later connections a fresh slot, once, and the old slot keeps its labels', () => {
    const { clock, source, shelf, metrics, pairs } = createRig();
    shelf('file').upsertWorkload(client);
    shelf('file').upsertWorkload(server);
    const pair = source.add(clock);
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 1 }]]));
    clock.advance(1_000);
    shelf('file').removeWorkload('server');
    clock.advance(1_000);
    shelf('file').upsertWorkload(workload({ uid: 'b', addresses: ['10.0.0.2'] }));
    clock.advance(1_000);
    shelf('file').upsertWorkload(workload({ uid: 'b', name: 'renamed', addresses: ['10.0.0.2'] }));
    clock.advance(1_000);
    expect(source.renewed).toEqual([`${pair.slot}/1`]);
    const fresh = source.add(clock);
    metrics.consume(
      batchOf(source, 2, [
        [pair, { [SENT]: 2 }],
        [fresh, { [SENT]: 3 }],
      ]),
    );
    expect(pairs.rows.map(({ slot, peers }) => [slot, peers.destination?.name])).toEqual([
      [pair.slot, 'server'],
      [pair.slot, 'server'],
      [fresh.slot, 'renamed'],
    ]);
    expect(pairs.rows[1]!.peers).toBe(pairs.rows[0]!.peers);
  });

  it('a service at the address that was dialled, known only later, renews though the backend was known', () => {
    const { clock, source, shelf, metrics, pairs } = createRig();
    shelf('file').upsertWorkload(client);
    shelf('file').upsertWorkload(server);
    const dialled = { dialledAddress: '10.96.0.10', dialledPort: 80 };
    const pair = source.add(clock, dialled);
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 1 }]]));
    expect(pairs.rows.map(({ peers }) => peers.service)).toEqual([undefined]);
    const vips = [{ network: '', address: '10.96.0.10', length: 32 }];
    shelf('file').upsertService(service({ hostname: 'shop.svc', vips, ports: new Map([[80, 8080]]) }));
    clock.advance(1);
    expect(source.renewed).toEqual([`${pair.slot}/1`]);
    const fresh = source.add(clock, dialled);
    metrics.consume(batchOf(source, 2, [[fresh, { [SENT]: 1 }]]));
    expect(pairs.rows.map(({ peers }) => peers.service?.hostname)).toEqual([undefined, 'shop.svc']);
  });

  it('a discovery after the time-out renews', () => {
    const { clock, source, shelf, metrics } = createRig();
    shelf('file').upsertWorkload(client);
    const pair = source.add(clock);
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 1 }]]));
    clock.advance(RESOLVE_TIMEOUT_MS);
    shelf('file').upsertWorkload(server);
    clock.advance(1);
    expect(source.renewed).toEqual([`${pair.slot}/1`]);
  });

  it('does not come from changes that concern others, or that change no name', () => {
    const { clock, source, shelf, metrics } = createRig();
    shelf('file').upsertWorkload(client);
    shelf('file').upsertWorkload(server);
    metrics.consume(batchOf(source, 1, [[source.add(clock), { [SENT]: 1 }]]));
    shelf('file').upsertWorkload(workload({ uid: 'x', addresses: ['10.0.0.3'] }));
    shelf('file').upsertWorkload(workload({ uid: 'server', addresses: ['10.0.0.2', '10.0.0.9'] }));
    clock.advance(10_000);
    expect(source.renewed).toEqual([]);
  });

  it('leaves a slot alone that has been reused', () => {
    const { clock, source, shelf, metrics, index } = createRig();
    shelf('file').upsertWorkload(client);
    shelf('file').upsertWorkload(server);
    const old = source.add(clock);
    metrics.consume(batchOf(source, 1, [[old, { [SENT]: 1 }]]));
    source.pairs.clear();
    const next = source.add(clock, { slot: old.slot, generation: 2, remoteAddress: '10.0.0.1' });
    metrics.consume(batchOf(source, 2, [[next, { [SENT]: 1 }]]));
    shelf('file').removeWorkload('server');
    clock.advance(1);
    expect(source.renewed).toEqual([]);
    expect(index.size).toBe(1);
  });

  it('concerns all that a VIP prefix covers', async () => {
    const { clock, source, shelf, metrics } = createRig();
    shelf('file').upsertWorkload(client);
    const [inside, outside] = ['10.96.1.1', '10.97.1.1'].map((remoteAddress) => source.add(clock, { remoteAddress }));
    // A server that nobody knows, within the prefix.
    const own = source.add(clock, { role: 'destination', localAddress: '10.96.1.2', remoteAddress: '10.0.0.1' });
    metrics.consume(
      batchOf(source, 1, [
        [inside!, { [SENT]: 1 }],
        [outside!, { [SENT]: 1 }],
        [own, { [SENT]: 1 }],
      ]),
    );
    clock.advance(RESOLVE_TIMEOUT_MS);
    shelf('file').upsertService({
      key: 'default/s',
      service: { hostname: 's', name: 's', namespace: 'default' },
      vips: [{ network: '', address: '10.96.0.0', length: 16 }],
      ports: new Map(),
      canonical: false,
    });
    clock.advance(1);
    expect(source.renewed).toEqual([`${inside!.slot}/1`, `${own.slot}/1`]);
  });
});

describe('memory beyond the agent', () => {
  it('takes the labels of an earlier agent instead of asking, and renews when the answer is another today', () => {
    const first = createRig();
    first.shelf('file').upsertWorkload(client);
    first.shelf('file').upsertWorkload(server);
    const pair = first.source.add(first.clock);
    first.metrics.consume(batchOf(first.source, 1, [[pair, { [SENT]: 1 }]]));
    const labels = first.source.remembered.get(`${pair.slot}/1`)!;

    const second = createRig({ synced: false });
    second.source.recallable.set(`${pair.slot}/1`, labels);
    second.source.pairs.set(`${pair.slot}/1`, pair);
    second.metrics.consume(batchOf(second.source, 1, [[pair, { [SENT]: 2 }]]));
    const { peers } = second.pairs.rows[0]!;
    expect(peers).toMatchObject({ source: { name: 'client' }, destination: { name: 'server' } });
    expect(peers.source!.goneSinceMs).toBe(second.clock.now());
    second.clock.advance(10_000);
    expect(second.source.renewed).toEqual([]); // nothing can be told yet
    second.shelf('file').upsertWorkload(client);
    second.shelf('file').upsertWorkload(workload({ uid: 'b', addresses: ['10.0.0.2'] }));
    second.shelf('file').markSynced();
    second.clock.advance(1);
    expect(second.source.renewed).toEqual([`${pair.slot}/1`]);
    expect(peers.source!.goneSinceMs).toBeUndefined(); // the same workload lives
    expect(second.source.remembered.size).toBe(0);
    expect(second.results).toEqual(new Map([['recalled', 2]]));
  });

  it.each([
    '{',
    '[]',
    '{"version":99}',
    '{"version":1,"reporter":"destination"}',
    '{"version":1,"reporter":"source","source":5}',
  ])('names a slot anew whose labels are %s', (labels) => {
    const { clock, source, shelf, metrics, pairs } = createRig();
    shelf('file').upsertWorkload(client);
    shelf('file').upsertWorkload(server);
    const pair = source.add(clock);
    source.recallable.set(`${pair.slot}/1`, labels);
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 1 }]]));
    expect(pairs.rows[0]!.peers).toMatchObject({ source: { name: 'client' }, destination: { name: 'server' } });
  });
});

describe('programs', () => {
  it('live while they have open connections', () => {
    const { clock, source, metrics, pairs } = createRig({ sources: ['host'] });
    const first = source.add(clock, { executable: 'curl', remoteAddress: '203.0.113.1' });
    const second = source.add(clock, { executable: 'curl', remoteAddress: '203.0.113.2' });
    metrics.consume(
      batchOf(source, 1, [
        [first, { [ACTIVE]: 1 }],
        [second, { [ACTIVE]: 2 }],
      ]),
    );
    const curl = pairs.rows[0]!.peers.source!;
    expect(pairs.rows[1]!.peers.source).toBe(curl);
    expect(curl.goneSinceMs).toBeUndefined();
    clock.advance(5);
    metrics.consume(
      batchOf(source, 2, [
        [first, { [ACTIVE]: -1 }],
        [second, { [ACTIVE]: -1 }],
      ]),
    );
    expect(curl.goneSinceMs).toBeUndefined();
    clock.advance(5);
    metrics.consume(batchOf(source, 3, [[second, { [ACTIVE]: -1 }]]));
    expect(curl.goneSinceMs).toBe(clock.now());
    metrics.consume(batchOf(source, 4, [[first, { [ACTIVE]: 1 }]]));
    expect(curl.goneSinceMs).toBeUndefined();
  });

  it('live by connections that were opened before they had a name', () => {
    const { clock, source, metrics, pairs } = createRig({ sources: ['host'] });
    const pair = source.add(clock, { executable: 'curl', localAddress: '127.0.0.1', remoteAddress: '127.0.0.1' });
    metrics.consume(batchOf(source, 1, [[pair, { [ACTIVE]: 1 }]]));
    clock.advance(RESOLVE_TIMEOUT_MS);
    const curl = pairs.rows[0]!.peers.source!;
    expect(curl).toMatchObject({ name: 'curl', goneSinceMs: undefined });
    metrics.consume(batchOf(source, 2, [[pair, { [ACTIVE]: -1 }]]));
    expect(curl.goneSinceMs).toBe(clock.now());
  });

  it('are counted once though several pipelines see the same batches, several to a sweep', () => {
    const rig = createRig({ sources: ['host'] });
    const other = new MetricsOutlet({ consume: () => {} }, rig.namer, 0);
    const pairs = ['203.0.113.1', '203.0.113.2'].map((remoteAddress) =>
      rig.source.add(rig.clock, { executable: 'curl', remoteAddress }),
    );
    const sweep = (timeNs: number, change: number, of: readonly Pair[]) => {
      for (const pair of of) {
        const batch = batchOf(rig.source, timeNs, [[pair, { [ACTIVE]: change }]]);
        rig.metrics.consume(batch);
        other.consume(batch);
      }
    };
    sweep(1, 1, pairs);
    const curl = rig.pairs.rows[0]!.peers.source!;
    sweep(2, -1, pairs.slice(0, 1));
    expect(curl.goneSinceMs).toBeUndefined();
    sweep(3, -1, pairs.slice(1));
    expect(curl.goneSinceMs).toBe(rig.clock.now());
  });

  it('that failed to connect, or whose slot was reused while open, are gone', () => {
    const { clock, source, metrics, pairs } = createRig({ sources: ['host'] });
    const pair = source.add(clock, { executable: 'curl', remoteAddress: '203.0.113.1' });
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 0 }]]));
    const curl = pairs.rows[0]!.peers.source!;
    expect(curl.goneSinceMs).toBe(clock.now());
    metrics.consume(batchOf(source, 2, [[pair, { [ACTIVE]: 1 }]]));
    expect(curl.goneSinceMs).toBeUndefined();
    const next = source.add(clock, {
      slot: pair.slot,
      generation: 2,
      executable: 'wget',
      remoteAddress: '203.0.113.1',
    });
    metrics.consume(batchOf(source, 3, [[next, { [ACTIVE]: 1 }]]));
    expect(curl.goneSinceMs).toBe(clock.now());
  });
});
