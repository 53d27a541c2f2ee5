/** Both ends of a connection on this node: each view is named by the other. */
import { describe, expect, it } from 'vitest';
import type { Pair } from '../../src/receiver/types.ts';
import { batchOf, type PairTexts, SENT, service, workload } from './fakes.ts';
import { createRig, RESOLVE_TIMEOUT_MS } from './rig.ts';

const LO = '127.0.0.1';
const view = (role: Pair['role'], executable: string, more: PairTexts = {}): PairTexts => ({
  role,
  executable,
  localAddress: LO,
  remoteAddress: LO,
  servicePort: 8080,
  ...more,
});

function host() {
  const rig = createRig({ sources: ['host'] });
  let timeNs = 0;
  return {
    ...rig,
    add: (fields: PairTexts) => rig.source.add(rig.clock, fields),
    sweep: (...pairs: Pair[]) =>
      rig.metrics.consume(
        batchOf(
          rig.source,
          ++timeNs,
          pairs.map((p) => [p, { [SENT]: 1 }]),
        ),
      ),
    ends: (pair: Pair) => {
      const row = rig.pairs.rows.find(({ slot }) => slot === pair.slot);
      return row && [row.peers.source?.name, row.peers.destination?.name];
    },
  };
}

describe('the same-node join', () => {
  it('gives both views the same ends, in one batch in either order', () => {
    for (const reversed of [false, true]) {
      const { add, sweep, ends } = host();
      const pairs = [add(view('source', 'curl')), add(view('destination', 'nginx'))];
      sweep(...(reversed ? [...pairs].reverse() : pairs));
      expect(pairs.map(ends)).toEqual([
        ['curl', 'nginx'],
        ['curl', 'nginx'],
      ]);
    }
  });

  it('waits for the view that comes later', () => {
    const { clock, add, sweep, ends } = host();
    const curl = add(view('source', 'curl'));
    sweep(curl);
    clock.advance(RESOLVE_TIMEOUT_MS - 1);
    expect(ends(curl)).toBeUndefined();
    const nginx = add(view('destination', 'nginx'));
    sweep(nginx);
    expect([curl, nginx].map(ends)).toEqual([
      ['curl', 'nginx'],
      ['curl', 'nginx'],
    ]);
  });

  it('a refused connection has no other view: unknown after the time-out', () => {
    const { clock, add, sweep, ends } = host();
    const curl = add(view('source', 'curl'));
    sweep(curl);
    clock.advance(RESOLVE_TIMEOUT_MS);
    expect(ends(curl)).toEqual(['curl', undefined]);
  });

  it('two programs at one server: it cannot tell whose connection it has, they both can', () => {
    const { add, sweep, ends } = host();
    const [curl, wget] = [add(view('source', 'curl')), add(view('source', 'wget'))];
    const nginx = add(view('destination', 'nginx'));
    sweep(curl, wget, nginx);
    expect(ends(curl)).toEqual(['curl', 'nginx']);
    expect(ends(wget)).toEqual(['wget', 'nginx']);
    expect(ends(nginx)).toEqual([undefined, 'nginx']);
  });

  it("a second program that comes later gets the server a fresh slot, once; programs' own slots stay", () => {
    const { clock, source, add, sweep, ends } = host();
    const [curl, nginx] = [add(view('source', 'curl')), add(view('destination', 'nginx'))];
    sweep(curl, nginx);
    sweep(add(view('source', 'wget')));
    sweep(add(view('source', 'fetch')));
    clock.advance(10);
    expect(source.renewed).toEqual([`${nginx.slot}/1`]);
    const fresh = add(view('destination', 'nginx'));
    sweep(fresh);
    expect(ends(fresh)).toEqual([undefined, 'nginx']);
  });

  it('keeps network namespaces apart where an address is everywhere', () => {
    const { clock, add, sweep, ends } = host();
    const curl = add(view('source', 'curl', { netns: 1 }));
    const other = add(view('destination', 'nginx', { netns: 2 }));
    sweep(curl, other);
    clock.advance(RESOLVE_TIMEOUT_MS);
    expect([ends(curl), ends(other)]).toEqual([
      ['curl', undefined],
      [undefined, 'nginx'],
    ]);
  });

  it('goes across namespaces by addresses of this node, without knowing them before', () => {
    const { add, sweep, ends } = host();
    const curl = add(view('source', 'curl', { localAddress: '172.17.0.1', remoteAddress: '172.17.0.2', netns: 1 }));
    const nginx = add(
      view('destination', 'nginx', { localAddress: '172.17.0.2', remoteAddress: '172.17.0.1', netns: 2 }),
    );
    sweep(curl, nginx);
    expect([curl, nginx].map(ends)).toEqual([
      ['curl', 'nginx'],
      ['curl', 'nginx'],
    ]);
  });

  it('does not take views whose slot has passed, or was renewed', () => {
    const { clock, source, add, sweep, ends } = host();
    const [curl, nginx] = [add(view('source', 'curl')), add(view('destination', 'nginx'))];
    sweep(curl, nginx);
    source.pairs.delete(`${curl.slot}/1`);
    const [wget, fresh] = [add(view('source', 'wget')), add(view('destination', 'nginx'))];
    sweep(wget, fresh);
    expect(ends(fresh)).toEqual(['wget', 'nginx']);
    clock.advance(10);
    expect(source.renewed).toEqual([`${nginx.slot}/1`]); // its client is another now
  });

  it('a joined label outlives the view that gave it', () => {
    const { clock, source, directory, add, sweep, ends, shelf } = host();
    const [curl, nginx] = [add(view('source', 'curl')), add(view('destination', 'nginx'))];
    sweep(curl, nginx);
    source.pairs.delete(`${curl.slot}/1`);
    shelf('host').upsertWorkload(workload({ uid: 'x', addresses: [LO] }));
    shelf('host').removeWorkload('x');
    clock.advance(10);
    expect(directory.shelves).toHaveLength(1);
    expect(source.renewed).not.toContain(`${nginx.slot}/1`);
    expect(ends(nginx)).toEqual(['curl', 'nginx']);
  });

  it('a joined label outlives that view though its address has left the node', () => {
    const { clock, source, add, sweep, shelf } = host();
    const across = { localAddress: '172.17.0.2', remoteAddress: '172.17.0.1' };
    const curl = add(view('source', 'curl', { localAddress: '172.17.0.1', remoteAddress: '172.17.0.2' }));
    const nginx = add(view('destination', 'nginx', across));
    sweep(curl, nginx);
    source.pairs.delete(`${curl.slot}/1`);
    sweep(add({ slot: curl.slot, generation: 2, localAddress: '10.0.0.9', remoteAddress: '203.0.113.1' }));
    shelf('host').upsertWorkload(workload({ uid: 'x', addresses: ['172.17.0.1'] }));
    shelf('host').removeWorkload('x');
    clock.advance(10);
    expect(source.renewed).toEqual([]);
    expect(nginx.slot).not.toBe(curl.slot);
  });

  it('is no longer named by a view that was renewed: its later connections have another', () => {
    const rig = createRig({ sources: ['file', 'host'] });
    const sweep = (timeNs: number, ...pairs: Pair[]) =>
      rig.metrics.consume(
        batchOf(
          rig.source,
          timeNs,
          pairs.map((pair) => [pair, { [SENT]: 1 }]),
        ),
      );
    const curl = view('source', 'curl', { cgroupId: 7 });
    const old = [rig.source.add(rig.clock, curl), rig.source.add(rig.clock, view('destination', 'nginx'))];
    sweep(1, ...old);
    rig.shelf('file').upsertWorkload(workload({ uid: 'client-v1', cgroups: [7] }));
    rig.clock.advance(10);
    expect(rig.source.renewed.sort()).toEqual(old.map(({ slot }) => `${slot}/1`).sort());
    const fresh = [rig.source.add(rig.clock, curl), rig.source.add(rig.clock, view('destination', 'nginx'))];
    sweep(2, ...fresh);
    rig.clock.advance(10);
    expect(rig.pairs.rows.map(({ slot, peers }) => [slot, peers.source?.name])).toEqual([
      [old[0]!.slot, 'curl'],
      [old[1]!.slot, 'curl'],
      [fresh[0]!.slot, 'client-v1'],
      [fresh[1]!.slot, 'client-v1'],
    ]);
    expect(rig.source.renewed.sort()).toEqual(old.map(({ slot }) => `${slot}/1`).sort());
  });

  it('goes over with the address: both views get a fresh slot when it becomes nobody’s', () => {
    const { clock, source, shelf, metrics, pairs } = createRig();
    const file = shelf('file');
    file.upsertWorkload(workload({ uid: 'client', addresses: ['10.0.0.1'] }));
    file.upsertWorkload(workload({ uid: 'server', addresses: ['10.0.0.2'] }));
    const ends: PairTexts = { localAddress: '10.0.0.1', remoteAddress: '10.0.0.2' };
    const mirrored: PairTexts = { role: 'destination', localAddress: '10.0.0.2', remoteAddress: '10.0.0.1' };
    const both = () => [source.add(clock, ends), source.add(clock, mirrored)];
    const sweep = (some: readonly Pair[]) =>
      metrics.consume(
        batchOf(
          source,
          clock.bootNs,
          some.map((pair) => [pair, { [SENT]: 1 }]),
        ),
      );
    const old = both();
    sweep([...old].reverse());
    clock.advance(10);
    file.removeWorkload('client');
    clock.advance(10);
    expect(source.renewed.sort()).toEqual(old.map(({ slot }) => `${slot}/1`).sort());
    const fresh = both();
    sweep(fresh);
    clock.advance(RESOLVE_TIMEOUT_MS);
    expect(pairs.rows.map(({ slot, peers }) => [slot, peers.source?.name])).toEqual([
      [old[1]!.slot, 'client'],
      [old[0]!.slot, 'client'],
      [fresh[0]!.slot, undefined],
      [fresh[1]!.slot, undefined],
    ]);
  });

  it('names by cgroup what a file names by cgroup, with its service, and alike at both ends', () => {
    const rig = createRig({ sources: ['file', 'host'] });
    const file = rig.shelf('file');
    file.upsertService(service({ hostname: 'api.svc', ports: new Map([[8080, 8080]]) }));
    file.upsertWorkload(workload({ uid: 'api', cgroups: [7], services: new Map([['default/api.svc', new Map()]]) }));
    const curl = rig.source.add(rig.clock, view('source', 'curl'));
    const api = rig.source.add(rig.clock, view('destination', 'node', { cgroupId: 7 }));
    rig.metrics.consume(
      batchOf(rig.source, 1, [
        [curl, { [SENT]: 1 }],
        [api, { [SENT]: 1 }],
      ]),
    );
    for (const { peers } of rig.pairs.rows) {
      expect([peers.source?.name, peers.destination?.name, peers.service?.hostname]).toEqual([
        'curl',
        'api',
        'api.svc',
      ]);
    }
    expect(rig.pairs.rows).toHaveLength(2);
  });
});
