/** Whatever comes in whatever order: what was counted goes on once, and a slot has one name for good. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Peers } from '../../src/identity/types.ts';
import type { Pair } from '../../src/receiver/types.ts';
import { batchOf, recordOf, SENT, workload } from './fakes.ts';
import { createRig, RESOLVE_TIMEOUT_MS } from './rig.ts';

const SLOTS = 6;
const address = (n: number) => `10.0.0.${n}`;

type Step =
  | { readonly do: 'batch'; readonly rows: readonly (readonly [slot: number, sent: number])[] }
  | { readonly do: 'records'; readonly slots: readonly number[] }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'upsert'; readonly uid: number; readonly address: number }
  | { readonly do: 'remove'; readonly uid: number }
  | { readonly do: 'recycle'; readonly slot: number };

const slot = fc.integer({ min: 1, max: SLOTS });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('batch' as const),
    rows: fc.uniqueArray(fc.tuple(slot, fc.nat(1_000)), { selector: ([s]) => s, maxLength: SLOTS }),
  }),
  fc.record({ do: fc.constant('records' as const), slots: fc.array(slot, { maxLength: 5 }) }),
  fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: RESOLVE_TIMEOUT_MS + 1 }) }),
  fc.record({ do: fc.constant('upsert' as const), uid: fc.nat(3), address: fc.integer({ min: 1, max: SLOTS }) }),
  fc.record({ do: fc.constant('remove' as const), uid: fc.nat(3) }),
  fc.record({ do: fc.constant('recycle' as const), slot }),
);

it('conserves sums, records, their order, and labels', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, host) => {
      const rig = createRig({ sources: host ? ['file', 'host'] : ['file'], nodeAddresses: [address(1), address(2)] });
      const pairs = new Map<number, Pair>();
      const add = (n: number, generation: number) => {
        const role = n % 2 === 0 ? 'source' : 'destination';
        // Pairs 1 and 2 are two views of the same connections.
        const [local, remote] = n <= 2 ? [address(n), address(3 - n)] : [address(1), address(n)];
        const fields = { slot: n, generation, role, localAddress: local, remoteAddress: remote } as const;
        pairs.set(n, rig.source.add(rig.clock, { ...fields, executable: host && n % 3 > 0 ? `exe${n}` : '' }));
      };
      for (let n = 1; n <= SLOTS; n++) add(n, 1);
      const counted = new Map<string, number>();
      const logged = new Map<string, (number | string)[]>();
      let timeNs = 0;
      let recordId = 0;
      const key = (p: { slot: number; generation: number }) => `${p.slot}/${p.generation}`;
      for (const action of steps) {
        if (action.do === 'batch') {
          const rows = action.rows.map(
            ([n, sent]) => [pairs.get(n)!, { [SENT]: sent }] as [Pair, Record<number, number>],
          );
          for (const [pair, fields] of rows) counted.set(key(pair), (counted.get(key(pair)) ?? 0) + fields[SENT]!);
          rig.metrics.consume(batchOf(rig.source, ++timeNs, rows));
        } else if (action.do === 'records') {
          const records = action.slots.map((n) => recordOf(pairs.get(n)!, { connectionId: String(++recordId) }));
          for (const r of records) logged.set(key(r), [...(logged.get(key(r)) ?? []), r.connectionId]);
          rig.logs.consume({ source: rig.source, records });
        } else if (action.do === 'advance') rig.clock.advance(action.ms);
        else if (action.do === 'upsert') {
          rig.shelf('file').upsertWorkload(workload({ uid: `w${action.uid}`, addresses: [address(action.address)] }));
        } else if (action.do === 'remove') rig.shelf('file').removeWorkload(`w${action.uid}`);
        else {
          const { generation } = pairs.get(action.slot)!;
          rig.source.pairs.delete(`${action.slot}/${generation}`);
          add(action.slot, generation + 1);
        }
      }
      rig.namer.close();

      const passed = new Map<string, number>();
      const names = new Map<string, Peers>();
      for (const row of rig.pairs.rows) {
        passed.set(key(row), (passed.get(key(row)) ?? 0) + row.sent);
        expect(names.get(key(row)) ?? row.peers).toBe(row.peers);
        names.set(key(row), row.peers);
      }
      expect(passed).toEqual(counted);
      const written = new Map<string, (number | string)[]>();
      for (const { record, peers } of rig.records.lines) {
        written.set(key(record), [...(written.get(key(record)) ?? []), record.connectionId]);
        expect(names.get(key(record)) ?? peers).toBe(peers);
        names.set(key(record), peers);
      }
      expect(written).toEqual(logged);
      expect(rig.namer.waitingCount).toBe(0);
      expect(new Set(rig.source.renewed).size).toBe(rig.source.renewed.length);
    }),
    { numRuns: 300 },
  );
});
