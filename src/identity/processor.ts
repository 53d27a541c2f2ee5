/** The identity processor: names both ends of every pair and record, as of the pair's first connection. */
import type { AnyConsumer, Host, Pipeline, Processor, ProcessorFactory, Settings } from '../collector/component.ts';
import { AGENT_METRICS } from '../semconv/registry.ts';
import { type Clock, systemClock } from './clock.ts';
import { configuredSources, type IdentityConfig, identitySchema } from './config.ts';
import { obstacle } from './conntrack/availability.ts';
import { type BackendResult, Backends } from './conntrack/backends.ts';
import { Conntrack } from './conntrack/conntrack.ts';
import { type ConntrackKernel, conntrackKernel } from './conntrack/kernel.ts';
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

/** Between two clearings of tombstones and of workloads that are gone. */
const PRUNE_INTERVAL_MS = 30_000;

export type { IdentityConfig };

/** What tests replace. */
export interface IdentityOverrides {
  readonly clock?: Clock;
  readonly cgroups?: CgroupTree;
  readonly namespaces?: NamespacePods;
  readonly nodeAddresses?: NodeAddresses;
  readonly conntrack?: ConntrackKernel;
}

export const identityProcessor: ProcessorFactory<IdentityConfig> = {
  kind: 'processor',
  type: 'identity',
  description: 'Names both ends of every connection: workloads and services, from the host, a file or a cluster',
  schema: identitySchema,
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
  readonly #conntrack: Conntrack | undefined;
  readonly #backends: Backends | undefined;
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
    const sources = configuredSources(config);
    this.needsExecutable = sources.some(({ type }) => type.needsExecutable);
    const parts = {
      logger,
      telemetry,
      clock,
      directory: this.#directory,
      cgroups: this.#cgroups,
      readinessChanged: () => this.#tellReady(),
    };
    this.#sources = sources.map(({ type, config: section }) => type.create(parts, section));
    const index = new EntryIndex();
    const resolver = new Resolver({
      directory: this.#directory,
      sources: this.#sources,
      cgroups: this.#cgroups,
      owners: this.#owners,
      namespaces: this.#namespaces,
      nodeAddresses: overrides.nodeAddresses ?? createNodeAddresses(clock),
      index,
    });
    if (config.conntrack) {
      const kernel = overrides.conntrack ?? conntrackKernel;
      const conntrack = new Conntrack({ kernel, clock, onUnavailable: createConntrackReport(settings) });
      this.#conntrack = conntrack;
      this.#backends = new Backends({ conntrack, resolver, clock, results: backendCounters(settings) });
    }
    this.#namer = new Namer({
      clock,
      logger,
      directory: this.#directory,
      index,
      resolver,
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
    const outlet = new LogsOutlet(next, this.#namer, this.#clock, this.#backends);
    this.#logs.set(pipeline.id, outlet);
    return outlet;
  }

  async start(host: Host): Promise<void> {
    this.#tellReady = () => host.setReady(this.#settings.id, this.#missing());
    this.#undo.push(() => {
      this.#tellReady = () => {};
    });
    this.#undo.push(this.#directory.onChange((change) => change.synced && this.#tellReady()));
    this.#undo.push(this.#cgroups.onChange((change) => this.#cgroupsWalked(change)));
    this.#undo.push(this.#namespaces.onChange((namespaces) => this.#namer.reconsiderNamespaces(namespaces)));
    this.#observe();
    this.#planPrune();
    this.#tellReady();
    for (const source of this.#sources) await source.start();
    this.#tellReady();
  }

  async shutdown(): Promise<void> {
    this.#namer.close();
    for (const outlet of this.#logs.values()) outlet.flush();
    for (const undo of this.#undo.splice(0)) undo();
    await Promise.all(this.#sources.map((source) => source.shutdown()));
    await this.#cgroups.stop();
    this.#owners.close();
    this.#conntrack?.close();
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
        this.#directory.prune();
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

function backendCounters({ telemetry }: Settings) {
  const counter = (result: BackendResult) => telemetry.counter(AGENT_METRICS.identityConntrack, { result });
  return {
    translated: counter('translated'),
    untranslated: counter('untranslated'),
    none: counter('none'),
    other_connection: counter('other_connection'),
    failed: counter('failed'),
    unavailable: counter('unavailable'),
  };
}

/** Says once of each reason that conntrack cannot be asked, why, and what to do. */
function createConntrackReport({ id, logger }: Settings): (reason: string) => void {
  const said = new Set<string>();
  return (reason) => {
    if (said.has(reason)) return;
    said.add(reason);
    const { detail, harmless, mend } = obstacle(reason);
    const what = `cannot ask conntrack which backend of a service a connection met: ${detail}`;
    const so = 'its record has as dst.workload what all backends of the service share, or none';
    const choice = `${mend === undefined ? '' : `To have it, ${mend}. `}To do without, set processors.${id}.conntrack to false`;
    if (harmless) logger.info(`${what}; ${so}`);
    else logger.warn(`${what}; ${so}. ${choice}`);
  };
}
