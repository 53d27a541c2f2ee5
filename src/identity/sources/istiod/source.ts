/**
 * The source `istiod`: workloads and services from the workload API that Istio's ztunnel and Kmesh's dual-engine mode
 * live by. Everything by default, or what lookups ask for (`on_demand`). While the control plane is away what it told
 * last stays.
 */
import type { Address } from '../../../semconv/address.ts';
import type { Shelf } from '../../directory.ts';
import type { Source, SourceReport, SourceSettings } from '../../source.ts';
import type { CgroupTree } from '../cgroup-tree.ts';
import { XdsClient } from '../xds/client.ts';
import { endpointText, type XdsConfig } from '../xds/config.ts';
import { probe } from '../xds/dial.ts';
import type { Machine } from '../xds/node.ts';
import { ADDRESS_TYPE } from './address.ts';
import { DELTA_METHOD, encodeFirstRequest, readEnvelope } from './delta.ts';
import { MeshState } from './mesh-state.ts';
import { AddressSession } from './session.ts';
import { WantedNames } from './wanted-names.ts';

export interface IstiodConfig extends XdsConfig {
  readonly on_demand: boolean;
}

export function createIstiodSource(settings: SourceSettings, config: IstiodConfig, machine?: Machine): Source {
  return new IstiodSource(settings, config, machine);
}

/** Asks for an address that nobody has: an answer shows that address, certificate, token and permission are right. */
export async function describeIstiod(config: IstiodConfig, machine?: Machine): Promise<SourceReport> {
  const target = endpointText(config.endpoint);
  try {
    const subscribe = [`${config.network}/0.0.0.0`];
    const ask = (node: Buffer) => encodeFirstRequest({ typeUrl: ADDRESS_TYPE, node, subscribe, known: [] });
    const response = await probe(config, DELTA_METHOD, 'ztunnel', ask, machine);
    const { typeUrl } = readEnvelope(response);
    if (typeUrl !== ADDRESS_TYPE)
      return { ok: false, text: `${target} answers with ${typeUrl || 'no type'}: is it istiod?` };
    return { ok: true, text: `${target} serves the workload API to this node` };
  } catch (error) {
    return { ok: false, text: (error as Error).message };
  }
}

class IstiodSource implements Source {
  readonly shelf: Shelf;
  readonly namesRemoteEnds = true;
  readonly usesCgroups = true;
  readonly #cgroups: CgroupTree;
  readonly #client: XdsClient;
  readonly #wanted: WantedNames | undefined;
  #session: AddressSession | undefined;

  constructor(settings: SourceSettings, config: IstiodConfig, machine: Machine | undefined) {
    const { clock, logger, telemetry, directory, readinessChanged } = settings;
    this.#cgroups = settings.cgroups;
    this.shelf = directory.addShelf('istiod', config.network);
    this.#wanted = config.on_demand ? new WantedNames(config.network, clock, () => this.#session) : undefined;
    const wanted = this.#wanted;
    const state = new MeshState(this.shelf, wanted && ((key) => wanted.service(key)));
    this.#client = new XdsClient({
      name: 'istiod',
      method: DELTA_METHOD,
      kind: 'ztunnel',
      config,
      clock,
      logger,
      telemetry,
      onProblem: readinessChanged,
      session: (send) => {
        this.#session = new AddressSession({
          state,
          send,
          logger,
          nacks: this.#client.nacks,
          names: wanted && (() => wanted.all()),
          onApplied: () => this.shelf.markSynced(),
        });
        return this.#session;
      },
      ...(machine === undefined ? {} : { machine }),
    });
  }

  async start(): Promise<void> {
    await this.#cgroups.start();
    this.#client.start();
  }

  missing(): string | undefined {
    if (this.shelf.synced) return undefined;
    const { target, problem } = this.#client;
    return problem ?? `${target} has not told its state`;
  }

  wants(address: Address): void {
    this.#wanted?.address(address);
  }

  async shutdown(): Promise<void> {
    this.#wanted?.close();
    await this.#client.shutdown();
  }
}
