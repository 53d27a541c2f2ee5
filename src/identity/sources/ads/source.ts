/**
 * The source `ads`: Kmesh's kernel-native mode, and any control plane that serves sidecars. It knows the pods that back a
 * service and the services, by what a sidecar is told; not the names of pods, nor who has the host's network.
 */
import type { Shelf } from '../../directory.ts';
import { breathe } from '../../slices.ts';
import type { Source, SourceReport, SourceSettings } from '../../source.ts';
import { XdsClient } from '../xds/client.ts';
import { endpointText, type XdsConfig } from '../xds/config.ts';
import { probe } from '../xds/dial.ts';
import type { Machine } from '../xds/node.ts';
import { decodeResources } from './decode.ts';
import { ADS_METHOD, encodeRequest, readResponse } from './messages.ts';
import { MeshModel } from './model.ts';
import { AdsSession, CLUSTERS, LISTENERS } from './session.ts';

/** How long endpoints and routes that were asked for are waited for before the state counts as whole: as Envoy waits. */
export const FETCH_TIMEOUT_MS = 15_000;

/** `machine`: where facts about this node come from, replaced in tests. */
export function createAdsSource(settings: SourceSettings, config: XdsConfig, machine?: Machine): Source {
  return new AdsSource(settings, config, machine);
}

export async function describeAds(config: XdsConfig, machine?: Machine): Promise<SourceReport> {
  const target = endpointText(config.endpoint);
  try {
    const request = (node: Buffer) => encodeRequest({ typeUrl: CLUSTERS.typeUrl, node });
    const response = await readResponse(await probe(config, ADS_METHOD, 'sidecar', request, machine), breathe);
    const { resources, rejected } = await decodeResources(CLUSTERS, response.resources, breathe);
    const services = new Set([...resources.values()].flatMap(({ service }) => service?.key ?? []));
    if (rejected.length === 0)
      return { ok: true, text: `${target}: ${resources.size} clusters, ${services.size} services` };
    return {
      ok: false,
      text: `${target}: ${rejected.length} of ${response.resources.length} clusters cannot be read, as ${rejected[0]!.name}: ${rejected[0]!.reason}`,
    };
  } catch (error) {
    return { ok: false, text: (error as Error).message };
  }
}

class AdsSource implements Source {
  readonly shelf: Shelf;
  readonly namesRemoteEnds = true;
  readonly usesCgroups = true;
  readonly #settings: SourceSettings;
  readonly #model: MeshModel;
  readonly #client: XdsClient;
  /** Types of which something has been applied. */
  readonly #applied = new Set<string>();
  /** What was last said about refused resources, by type: said once, however often they come. */
  readonly #saidRejected = new Map<string, string>();
  #cancelTimeout: (() => void) | undefined;

  constructor(settings: SourceSettings, config: XdsConfig, machine: Machine | undefined) {
    const { clock, logger, telemetry, directory, readinessChanged } = settings;
    this.#settings = settings;
    this.shelf = directory.addShelf('ads', config.network);
    this.#model = new MeshModel(this.shelf);
    this.#client = new XdsClient({
      name: 'ads',
      method: ADS_METHOD,
      kind: 'sidecar',
      config,
      clock,
      logger,
      telemetry,
      onProblem: readinessChanged,
      session: (send) =>
        new AdsSession({
          model: this.#model,
          send,
          onApplied: (typeUrl) => this.#onApplied(typeUrl),
          onRejected: (typeUrl, text) => this.#onRejected(typeUrl, text),
        }),
      ...(machine ? { machine } : {}),
    });
  }

  async start(): Promise<void> {
    await this.#settings.cgroups.start();
    this.#client.start();
  }

  missing(): string | undefined {
    if (this.shelf.synced) return undefined;
    return this.#client.problem ?? `waiting for ${this.#lacks()}`;
  }

  async shutdown(): Promise<void> {
    this.#cancelTimeout?.();
    await this.#client.shutdown();
  }

  #onApplied(typeUrl: string): void {
    if (this.shelf.synced) return;
    this.#applied.add(typeUrl);
    this.#settings.readinessChanged();
    const lacks = this.#lacks();
    if (lacks === undefined) this.#synced();
    else if (this.#applied.has(LISTENERS.typeUrl)) {
      this.#cancelTimeout ??= this.#settings.clock.schedule(FETCH_TIMEOUT_MS, () => {
        const { target } = this.#client;
        this.#settings.logger.warn(`${target} has not sent ${this.#lacks()}: names are given without them`);
        this.#synced();
      });
    }
  }

  #synced(): void {
    this.#cancelTimeout?.();
    this.shelf.markSynced();
  }

  /** What has been asked for and not been told. Listeners are asked for once there are clusters. */
  #lacks(): string | undefined {
    if (!this.#applied.has(CLUSTERS.typeUrl)) return `clusters from ${this.#client.target}`;
    if (!this.#applied.has(LISTENERS.typeUrl)) return `listeners from ${this.#client.target}`;
    const { assignmentNames, untoldAssignments, routeNames, untoldRoutes } = this.#model;
    if (untoldAssignments > 0) return `the endpoints of ${untoldAssignments} of ${assignmentNames.length} clusters`;
    if (untoldRoutes > 0) return `${untoldRoutes} of ${routeNames.length} route configurations`;
    return undefined;
  }

  #onRejected(typeUrl: string, text: string): void {
    this.#client.nacks.add(1);
    if (this.#saidRejected.get(typeUrl) === text) return;
    this.#saidRejected.set(typeUrl, text);
    const type = typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
    this.#settings.logger.warn(
      `${this.#client.target} sends ${type}s that cannot be read; they stay as they were: ${text}`,
    );
  }
}
