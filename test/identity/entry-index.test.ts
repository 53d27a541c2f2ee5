/** The index against a list of entries that is gone through from end to end. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { DirectoryChange } from '../../src/identity/directory.ts';
import type { Entry } from '../../src/identity/entry.ts';
import { EntryIndex } from '../../src/identity/entry-index.ts';
import type { Vip } from '../../src/identity/objects.ts';
import type { Pair, PairSource } from '../../src/receiver/types.ts';
import {
  type Address,
  addressOf,
  addressText,
  isLoopback,
  maskAddress,
  NO_ADDRESS,
} from '../../src/semconv/address.ts';
import { FakePairSource } from './fakes.ts';

const TEXTS = ['10.0.0.1', '10.0.0.2', '10.0.1.1', '127.0.0.1', 'fd00::1', '::1'];
const SOURCES = [new FakePairSource(), new FakePairSource()];

const text = fc.constantFrom(...TEXTS);
const address = text.map(addressOf);
const pair: fc.Arbitrary<Pair> = fc.record({
  slot: fc.nat(),
  generation: fc.constant(1),
  kind: fc.constantFrom('pair' as const, 'pair' as const, 'pair' as const, 'coarse' as const, 'unattributed' as const),
  role: fc.constantFrom('source' as const, 'destination' as const),
  localAddress: address,
  remoteAddress: address,
  servicePort: fc.constantFrom(80, 81),
  cgroupId: fc.constantFrom(1, 2),
  netns: fc.constantFrom(1, 2),
  executable: fc.constant(''),
  dialledAddress: fc.constantFrom('', '', ...TEXTS).map(addressOf),
  dialledPort: fc.constant(80),
  createdNs: fc.constant(1),
});
const entry: fc.Arbitrary<Entry> = fc.record({
  source: fc.constantFrom<PairSource>(...SOURCES),
  pair,
  createdMs: fc.constant(0),
  peers: fc.constant(undefined),
  deadlineMs: fc.constant(undefined),
  joined: fc.constant(false),
  backendVaries: fc.constant(false as boolean),
  renewed: fc.constant(false),
  heldByUse: fc.constant([]),
  place: fc.constant(undefined),
});
const range: fc.Arbitrary<Vip> = fc
  .record({ network: fc.constant(''), address: text, length: fc.integer({ min: 0, max: 31 }) })
  .map((vip) => ({ ...vip, address: maskAddress(vip.address, vip.length) }));
const change: fc.Arbitrary<DirectoryChange> = fc.record({
  addresses: fc.uniqueArray(address).map((list) => new Set(list)),
  cgroups: fc.uniqueArray(fc.constantFrom(1, 2, 3)).map((list) => new Set(list)),
  ranges: fc.array(range, { maxLength: 2 }),
  synced: fc.constant(false),
});

function isMirror(entry: Entry, other: Entry): boolean {
  const [one, two] = [entry.pair, other.pair];
  const oneNamespace =
    isLoopback(one.remoteAddress) || isLoopback(one.localAddress) || one.localAddress === one.remoteAddress;
  return (
    one.kind === 'pair' &&
    two.kind === 'pair' &&
    entry.source === other.source &&
    one.role !== two.role &&
    one.localAddress === two.remoteAddress &&
    one.remoteAddress === two.localAddress &&
    one.servicePort === two.servicePort &&
    (!oneNamespace || one.netns === two.netns)
  );
}

function concerns({ addresses, cgroups, ranges }: DirectoryChange, { pair }: Entry): boolean {
  const present = (address: Address) => address !== NO_ADDRESS;
  const others = pair.kind === 'pair' ? [pair.remoteAddress, pair.dialledAddress].filter(present) : [];
  const server = pair.role === 'source' ? pair.remoteAddress : pair.localAddress;
  const servers = pair.kind === 'pair' ? [server, pair.dialledAddress].filter(present) : [];
  return (
    addresses.has(pair.localAddress) ||
    cgroups.has(pair.cgroupId) ||
    others.some((other) => addresses.has(other)) ||
    ranges.some(({ address, length }) =>
      servers
        .map(addressText)
        .some(
          (other) =>
            other.includes(':') === address.includes(':') &&
            maskAddress(other, length) === maskAddress(address, length),
        ),
    )
  );
}

it('answers as a list would, whatever was added and deleted before', () => {
  /** Adds the entry, or deletes one of those that are there. */
  const step = fc.oneof(
    { weight: 2, arbitrary: fc.record({ add: entry }) },
    { weight: 1, arbitrary: fc.record({ remove: fc.nat() }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), change, fc.uniqueArray(fc.nat({ max: 3 })), (steps, news, netns) => {
      const index = new EntryIndex();
      const list: Entry[] = [];
      const deleted: Entry[] = [];
      for (const step of steps) {
        if ('add' in step) {
          const added = { ...step.add };
          index.add(added);
          if (added.pair.kind !== 'unattributed') list.push(added);
        } else if (list.length > 0) {
          const [gone] = list.splice(step.remove % list.length, 1);
          index.delete(gone!);
          index.delete(gone!);
          deleted.push(gone!);
        }
      }
      expect(index.size).toBe(list.length);
      expect(new Set(index.all())).toEqual(new Set(list));
      for (const local of TEXTS.map(addressOf)) {
        expect(index.hasLocal(local)).toBe(list.some(({ pair }) => pair.localAddress === local));
      }
      // Those that were deleted may still wait for a name.
      for (const asked of [...list, ...deleted]) {
        expect(new Set(index.mirrors(asked))).toEqual(new Set(list.filter((other) => isMirror(asked, other))));
      }
      expect(new Set(index.concernedBy(news))).toEqual(new Set(list.filter((one) => concerns(news, one))));
      const namespaces = new Set(netns);
      expect(new Set(index.inNamespaces(namespaces))).toEqual(
        new Set(list.filter(({ pair }) => namespaces.has(pair.netns))),
      );
    }),
    { numRuns: 500 },
  );
});
