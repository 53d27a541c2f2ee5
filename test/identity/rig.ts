/** The processor made of the directory's own parts, fed by a source that a test fills by hand. */

import { type BackendResult, Backends } from '../../src/identity/conntrack/backends.ts';
import { Conntrack } from '../../src/identity/conntrack/conntrack.ts';
import type { ConntrackKernel } from '../../src/identity/conntrack/kernel.ts';
import { Directory, type Shelf, TOMBSTONE_MS } from '../../src/identity/directory.ts';
import { EntryIndex } from '../../src/identity/entry-index.ts';
import { LogsOutlet } from '../../src/identity/logs-outlet.ts';
import { MetricsOutlet } from '../../src/identity/metrics-outlet.ts';
import { type LookupResult, Namer } from '../../src/identity/namer.ts';
import { Resolver } from '../../src/identity/resolver.ts';
import type { Source } from '../../src/identity/source.ts';
import { CgroupOwners } from '../../src/identity/sources/cgroup-owners.ts';
import { UNNAMED_FIELDS } from '../../src/identity/workload-pool.ts';
import { addressText, isLoopback } from '../../src/semconv/address.ts';
import { FakeCgroups, FakeClock, FakeLogger, FakeNamespaces, FakePairSource, PairSink, RecordSink } from './fakes.ts';

export const RESOLVE_TIMEOUT_MS = 5_000;
export const SERIES_TTL_MS = 900_000;

export interface RigOptions {
  /** `file` pushes objects and may name remote ends; `host` names by executable. */
  readonly sources?: readonly ('file' | 'host')[];
  readonly nodeAddresses?: readonly string[];
  readonly synced?: boolean;
  /** Asked for the backends of records; nobody is, if it is not given. */
  readonly conntrack?: ConntrackKernel;
}

export function createRig({ sources = ['file'], nodeAddresses = [], synced = true, conntrack }: RigOptions = {}) {
  const clock = new FakeClock();
  const cgroups = new FakeCgroups();
  const owners = new CgroupOwners(cgroups, clock);
  const namespaces = new FakeNamespaces();
  const directory = new Directory(clock, TOMBSTONE_MS, owners);
  const logger = new FakeLogger();
  const shelves = new Map<string, Shelf>();
  const index = new EntryIndex();
  const wanted: string[] = [];
  const made = sources.map((type): Source => {
    const shelf = directory.addShelf(type, '');
    shelves.set(type, shelf);
    if (synced) shelf.markSynced();
    return {
      shelf,
      namesRemoteEnds: type === 'file',
      usesCgroups: true,
      start: async () => {},
      shutdown: async () => {},
      missing: () => undefined,
      wants: (address) => void wanted.push(addressText(address)),
      ...(type === 'host' && {
        byProcess: ({ executable }) =>
          executable === ''
            ? undefined
            : directory.pool.intern({ ...UNNAMED_FIELDS, name: executable, canonicalService: executable }),
      }),
    };
  });
  const results = new Map<LookupResult, number>();
  const counter = (result: LookupResult) => ({
    add: (value: number) => void results.set(result, (results.get(result) ?? 0) + value),
  });
  const resolver = new Resolver({
    directory,
    sources: made,
    cgroups,
    owners,
    namespaces,
    nodeAddresses: { has: (address) => isLoopback(address) || nodeAddresses.includes(addressText(address)) },
    index,
  });
  const found = new Map<BackendResult, number>();
  const backendCounter = (result: BackendResult) => ({
    add: (value: number) => void found.set(result, (found.get(result) ?? 0) + value),
  });
  const backends =
    conntrack &&
    new Backends({
      conntrack: new Conntrack({ kernel: conntrack, clock, onUnavailable: () => {} }),
      resolver,
      clock,
      results: {
        translated: backendCounter('translated'),
        untranslated: backendCounter('untranslated'),
        none: backendCounter('none'),
        other_connection: backendCounter('other_connection'),
        failed: backendCounter('failed'),
        unavailable: backendCounter('unavailable'),
      },
    });
  const namer = new Namer({
    clock,
    logger,
    directory,
    index,
    resolver,
    resolveTimeoutMs: RESOLVE_TIMEOUT_MS,
    lookups: {
      known: counter('known'),
      unknown: counter('unknown'),
      timeout: counter('timeout'),
      given_up: counter('given_up'),
      recalled: counter('recalled'),
    },
    onLabelled: (entries) => {
      metrics.release(entries);
      logs.release(entries);
    },
  });
  const pairs = new PairSink();
  const records = new RecordSink();
  const metrics = new MetricsOutlet(pairs, namer, SERIES_TTL_MS);
  const logs = new LogsOutlet(records, namer, clock, backends);
  return {
    clock,
    directory,
    cgroups,
    namespaces,
    logger,
    index,
    namer,
    metrics,
    logs,
    pairs,
    records,
    results,
    found,
    wanted,
    source: new FakePairSource(),
    shelf: (type: 'file' | 'host') => shelves.get(type)!,
  };
}
