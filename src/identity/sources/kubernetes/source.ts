/**
 * The source `kubernetes`: names from the API server of a cluster, mesh or not. It lists and watches five resources
 * (resources.ts), trims each object as it comes, and joins them into workloads and services (cluster.ts). While the
 * server is away the last known state serves; what the account may not read is told and done without.
 */
import { AGENT_METRICS } from '../../../semconv/registry.ts';
import type { Shelf } from '../../directory.ts';
import { breathe } from '../../slices.ts';
import type { Source, SourceSettings } from '../../source.ts';
import { inClusterAccess, type ReadAccess } from './access.ts';
import { type ApiClient, createApiClient } from './api-client.ts';
import { Cluster } from './cluster.ts';
import type { KubernetesConfig } from './config.ts';
import { kubeconfigAccess } from './kubeconfig.ts';
import { Reflector, type Resource, type Store, TIMING, type Timing } from './reflector.ts';
import { RESOURCES } from './resources.ts';
import { SyncState } from './sync-state.ts';
import type { Trimmed } from './trimmed.ts';
import { holdYoungGeneration } from './young-generation.ts';

/** What tests replace. */
export interface KubernetesOverrides {
  readonly readAccess?: ReadAccess;
  readonly timing?: Timing;
  readonly random?: () => number;
}

export function createKubernetesSource(
  settings: SourceSettings,
  config: KubernetesConfig,
  overrides: KubernetesOverrides = {},
): Source {
  return new KubernetesSource(settings, config, overrides);
}

export const readAccessOf =
  ({ kubeconfig }: KubernetesConfig): ReadAccess =>
  () =>
    kubeconfig === '' ? inClusterAccess(process.env) : kubeconfigAccess(kubeconfig);

class KubernetesSource implements Source {
  readonly shelf: Shelf;
  readonly namesRemoteEnds = true;
  readonly usesCgroups = true;
  readonly #settings: SourceSettings;
  readonly #readAccess: ReadAccess;
  readonly #client: ApiClient;
  readonly #cluster: Cluster;
  readonly #state: SyncState;
  readonly #reflectors: readonly { start(): void; shutdown(): Promise<void> }[];
  readonly #undo: (() => void)[] = [];
  #heardMs: number | undefined;

  constructor(settings: SourceSettings, config: KubernetesConfig, overrides: KubernetesOverrides) {
    const { directory, logger, clock } = settings;
    this.#settings = settings;
    this.#readAccess = overrides.readAccess ?? readAccessOf(config);
    this.#client = createApiClient(this.#readAccess);
    this.shelf = directory.addShelf('kubernetes', '');
    this.#cluster = new Cluster({
      shelf: this.shelf,
      names: {
        trustDomain: config.trust_domain,
        clusterId: config.cluster_id,
        clusterDomain: config.cluster_domain,
        nodeName: config.node_name,
      },
      breathe,
    });
    this.#state = new SyncState({
      resources: Object.values(RESOURCES).map(({ name }) => name),
      logger,
      now: () => clock.now(),
      changed: () => this.#stateChanged(),
    });
    const reflect = <T extends Trimmed>(resource: Resource<T>, store: Store<T>) =>
      new Reflector<T>({
        client: this.#client,
        resource,
        store,
        clock,
        timing: overrides.timing ?? TIMING,
        random: overrides.random ?? Math.random,
        breathe,
        events: this.#events(resource.name),
      });
    this.#reflectors = [
      reflect(RESOURCES.nodes, this.#cluster.nodes),
      reflect(RESOURCES.namespaces, this.#cluster.namespaces),
      reflect(RESOURCES.services, this.#cluster.services),
      reflect(RESOURCES.endpointSlices, this.#cluster.endpointSlices),
      reflect(RESOURCES.pods, this.#cluster.pods),
    ];
  }

  async start(): Promise<void> {
    // What is wrong with the configuration itself is told at once; what the server says, in the log and on /readyz.
    await this.#readAccess();
    await this.#settings.cgroups.start();
    this.#undo.push(holdYoungGeneration());
    this.#observe();
    for (const reflector of this.#reflectors) reflector.start();
  }

  missing(): string | undefined {
    return this.#state.missing();
  }

  async shutdown(): Promise<void> {
    for (const undo of this.#undo.splice(0)) undo();
    await Promise.all(this.#reflectors.map((reflector) => reflector.shutdown()));
    this.#client.close();
  }

  #stateChanged(): void {
    this.#settings.readinessChanged();
    if (!this.shelf.synced && this.#state.settled) void this.#markSynced();
  }

  async #markSynced(): Promise<void> {
    await this.#cluster.pushed();
    this.#state.complete();
    this.shelf.markSynced();
  }

  #events(resource: string) {
    const { telemetry, clock } = this.#settings;
    const labels = { source: 'kubernetes', kind: resource };
    const lists = telemetry.counter(AGENT_METRICS.identityLists, labels);
    const watches = telemetry.counter(AGENT_METRICS.identityWatches, labels);
    const malformed = telemetry.counter(AGENT_METRICS.identityMalformed, labels);
    return {
      listed: () => {
        lists.add(1);
        this.#state.listed(resource);
        this.#stateChanged();
      },
      watching: () => {
        watches.add(1);
        this.#state.watched(resource);
      },
      failed: (failure: Parameters<SyncState['failed']>[1]) => {
        const reason = { source: 'kubernetes', reason: failure.kind };
        telemetry.counter(AGENT_METRICS.identityFailures, reason).add(1);
        this.#state.failed(resource, failure);
      },
      malformed: () => malformed.add(1),
      heard: () => {
        this.#heardMs = clock.now();
      },
    };
  }

  #observe(): void {
    const { telemetry, clock } = this.#settings;
    const { pods, endpointSlices, nodes, namespaces } = this.#cluster;
    const stores = { pod: pods, endpointslice: endpointSlices, node: nodes, namespace: namespaces };
    this.#undo.push(
      telemetry.observe(AGENT_METRICS.identityObjects, (report) => {
        for (const [kind, { size }] of Object.entries(stores)) report(size, { source: 'kubernetes', kind });
      }),
      telemetry.observe(AGENT_METRICS.identityLastMessageAge, (report) => {
        if (this.#heardMs === undefined) return;
        report(Math.max(0, clock.now() - this.#heardMs) / 1000, { source: 'kubernetes' });
      }),
    );
  }
}
