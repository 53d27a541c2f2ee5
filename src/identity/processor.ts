/** The identity processor: names both ends of every pair and record, as of the pair's first connection. */
import type { AnyConsumer, Host, Pipeline, Processor, ProcessorFactory, Settings } from '../collector/component.ts';
import {
  described,
  duration,
  type Infer,
  listOf,
  object,
  oneOf,
  optional,
  refine,
  type Schema,
  withDefault,
} from '../collector/schema.ts';
import { AGENT_METRICS } from '../semconv/registry.ts';
import { type Clock, systemClock } from './clock.ts';
import { Directory, TOMBSTONE_MS } from './directory.ts';
import { EntryIndex } from './entry-index.ts';
import { LogsOutlet } from './logs-outlet.ts';
import { MetricsOutlet } from './metrics-outlet.ts';
import { type LookupResult, Namer } from './namer.ts';
import { createNodeAddresses, type NodeAddresses } from './node-addresses.ts';
import { Resolver } from './resolver.ts';
import type { Source } from './source.ts';
import { CgroupOwners } from './sources/cgroup-owners.ts';
import { type CgroupChange, type CgroupTree, createCgroupTree } from './sources/cgroup-tree.ts';
import { createNamespacePods, type NamespacePods } from './sources/namespace-pods.ts';
import { SOURCE_TYPES } from './sources/registry.ts';

/** Between two clearings of tombstones and of workloads long gone. */
const PRUNE_INTERVAL_MS = 30_000;

/** A workload gone for so long is forgotten, at least; longer where series live longer. */
const KEEP_GONE_MS = 3_600_000;

const TYPES = Object.keys(SOURCE_TYPES);

const sections = Object.fromEntries(
  Object.values(SOURCE_TYPES).map(({ type, description, schema }) => [type, described(description, optional(schema))]),
) as Record<string, Schema<unknown>>;

const schema = refine(
  object({
    sources: described(
      'Who names the ends, the first match wins',
      withDefault(listOf(oneOf(TYPES), { nonEmpty: true, unique: true }), '[host]'),
    ),
    resolve_timeout: described(
      'How long a connection waits for a name before it is unknown',
      withDefault(duration({ min: '0s', max: '1h' }), '5s'),
    ),
    series_ttl: described(
      'How long a series outlives the end of its workload',
      withDefault(duration({ min: '1s' }), '15m'),
    ),
    ...sections,
  }),
  (config, wrong) => {
    for (const { type, optional: mayBeLeftOut } of Object.values(SOURCE_TYPES)) {
      const listed = config.sources.includes(type);
      const section = (config as Readonly<Record<string, unknown>>)[type];
      if (listed && !mayBeLeftOut && section === undefined)
        wrong(type, `missing. The source ${type} needs its section.`);
      if (!listed && section !== undefined)
        wrong(type, `the source ${type} is not in sources. List it there, or take the section away.`);
    }
  },
);

export type IdentityConfig = Infer<typeof schema>;

/** What tests replace. */
export interface IdentityOverrides {
  readonly clock?: Clock;
  readonly cgroups?: CgroupTree;
  readonly namespaces?: NamespacePods;
  readonly nodeAddresses?: NodeAddresses;
}

export const identityProcessor: ProcessorFactory<IdentityConfig> = {
  kind: 'processor',
  type: 'identity',
  description: 'Names both ends of every connection: workloads and services, from the host, a file or a cluster',
  schema,
  signals: ['metrics', 'logs'],
  accepts: 'connections',
  produces: 'identified',
  create: (settings, config) => createIdentityProcessor(settings, config),
};

export function createIdentityProcessor(
  settings: Settings,
  config: IdentityConfig,
  overrides: IdentityOverrides = {},
): Processor {
  return new IdentityProcessor(settings, config, overrides);
}

class IdentityProcessor implements Processor {
  readonly needsExecutable: boolean;
  readonly #settings: Settings;
  readonly #config: IdentityConfig;
  readonly #clock: Clock;
  readonly #directory: Directory;
  readonly #cgroups: CgroupTree;
  readonly #owners: CgroupOwners;
  readonly #namespaces: NamespacePods;
  readonly #sources: readonly Source[];
  readonly #namer: Namer;
  readonly #metrics = new Map<string, MetricsOutlet>();
  readonly #logs = new Map<string, LogsOutlet>();
  readonly #undo: (() => void)[] = [];
  #tellReady = () => {};

  constructor(settings: Settings, config: IdentityConfig, overrides: IdentityOverrides) {
    const clock = overrides.clock ?? systemClock;
    const { logger, telemetry } = settings;
    this.#settings = settings;
    this.#config = config;
    this.#clock = clock;
    this.#cgroups = overrides.cgroups ?? createCgroupTree({ clock, logger });
    this.#owners = new CgroupOwners(this.#cgroups, clock);
    this.#namespaces = overrides.namespaces ?? createNamespacePods({ clock, logger });
    this.#directory = new Directory(clock, TOMBSTONE_MS + config.resolve_timeout, this.#owners);
    const types = config.sources.map((type) => SOURCE_TYPES[type]!);
    this.needsExecutable = types.some((type) => type.needsExecutable);
    this.#sources = types.map((type) =>
      type.create(
        {
          logger,
          telemetry,
          clock,
          directory: this.#directory,
          cgroups: this.#cgroups,
          readinessChanged: () => this.#tellReady(),
        },
        (config as Readonly<Record<string, unknown>>)[type.type],
      ),
    );
    const index = new EntryIndex();
    this.#namer = new Namer({
      clock,
      logger,
      directory: this.#directory,
      index,
      resolver: new Resolver({
        directory: this.#directory,
        sources: this.#sources,
        cgroups: this.#cgroups,
        owners: this.#owners,
        namespaces: this.#namespaces,
        nodeAddresses: overrides.nodeAddresses ?? createNodeAddresses(clock),
        index,
      }),
      resolveTimeoutMs: config.resolve_timeout,
      lookups: lookupCounters(settings),
      onLabelled: (entries) => {
        for (const outlet of this.#metrics.values()) outlet.release(entries);
        for (const outlet of this.#logs.values()) outlet.release(entries);
      },
    });
  }

  /** Asked again for a pipeline that it serves already, it keeps what it holds and sends it to the new consumer. */
  metrics(next: AnyConsumer, pipeline: Pipeline): AnyConsumer {
    const known = this.#metrics.get(pipeline.id);
    if (known) {
      known.next = next;
      return known;
    }
    const { series_ttl: seriesTtlMs } = this.#config;
    const outlet = new MetricsOutlet(next, this.#namer, seriesTtlMs);
    this.#metrics.set(pipeline.id, outlet);
    return outlet;
  }

  logs(next: AnyConsumer, pipeline: Pipeline): AnyConsumer {
    const known = this.#logs.get(pipeline.id);
    if (known) {
      known.next = next;
      return known;
    }
    const outlet = new LogsOutlet(next, this.#namer);
    this.#logs.set(pipeline.id, outlet);
    return outlet;
  }

  async start(host: Host): Promise<void> {
    const tellReady = () => host.setReady(this.#settings.id, this.#missing());
    this.#undo.push(this.#directory.onChange((change) => change.synced && tellReady()));
    this.#undo.push(this.#cgroups.onChange((change) => this.#cgroupsWalked(change)));
    this.#undo.push(this.#namespaces.onChange((namespaces) => this.#namer.reconsiderNamespaces(namespaces)));
    this.#observe();
    this.#planPrune();
    this.#tellReady = tellReady;
    tellReady();
    for (const source of this.#sources) await source.start();
    tellReady();
  }

  async shutdown(): Promise<void> {
    this.#namer.close();
    for (const undo of this.#undo.splice(0)) undo();
    await Promise.all(this.#sources.map((source) => source.shutdown()));
    await this.#cgroups.stop();
    this.#owners.close();
    await this.#namespaces.stop();
  }

  #missing(): string | undefined {
    const missing = this.#sources.flatMap((source) => {
      const lacks = source.missing();
      return lacks === undefined ? [] : [`${source.shelf.name}: ${lacks}`];
    });
    return missing.length > 0 ? missing.join('; ') : undefined;
  }

  /** Cgroups that were waited for are found, or do not exist: whoever waited is named by them, or by other means. */
  #cgroupsWalked({ added, absent }: CgroupChange): void {
    const cgroups = new Set([...added.keys(), ...absent]);
    this.#namer.reconsider({ addresses: new Set(), cgroups, ranges: [], synced: false });
  }

  #observe(): void {
    const { telemetry } = this.#settings;
    this.#undo.push(
      telemetry.observe(AGENT_METRICS.identityObjects, (report) => {
        for (const { shelf } of this.#sources) {
          report(shelf.workloadCount, { source: shelf.name, kind: 'workload' });
          report(shelf.services.size, { source: shelf.name, kind: 'service' });
        }
      }),
      telemetry.observe(AGENT_METRICS.identitySynced, (report) => {
        for (const { shelf } of this.#sources) report(shelf.synced ? 1 : 0, { source: shelf.name });
      }),
    );
  }

  #planPrune(): void {
    let cancel = () => {};
    const plan = () => {
      cancel = this.#clock.schedule(PRUNE_INTERVAL_MS, () => {
        this.#directory.prune(Math.max(KEEP_GONE_MS, 2 * this.#config.series_ttl));
        plan();
      });
    };
    plan();
    this.#undo.push(() => cancel());
  }
}

function lookupCounters({ telemetry }: Settings) {
  const counter = (result: LookupResult) => telemetry.counter(AGENT_METRICS.identityLookups, { result });
  return {
    known: counter('known'),
    unknown: counter('unknown'),
    timeout: counter('timeout'),
    given_up: counter('given_up'),
    recalled: counter('recalled'),
  };
}
