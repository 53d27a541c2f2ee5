/**
 * The services of one shelf: by virtual address, and by the target port of a workload that backs them. Services are
 * looked up as they are now: their addresses are not reused within the seconds that a record takes.
 */
import type { Address } from '../semconv/address.ts';
import { BackedServices, target } from './backed-services.ts';
import type { Holder } from './directory.ts';
import { type Backing, HeldService } from './held-service.ts';
import type { ServiceKey, ServiceObject, WorkloadObject } from './objects.ts';
import type { Workload } from './types.ts';
import { VipTable } from './vip-table.ts';
import { UNNAMED_FIELDS, WORKLOAD_FIELDS, type WorkloadFields, type WorkloadPool } from './workload-pool.ts';

const NO_BACKING: Backing = { port: 0, workload: undefined, varies: true, next: undefined };

export class ServiceIndex {
  readonly #pool: WorkloadPool;
  readonly #byKey = new Map<ServiceKey, HeldService>();
  /** By network. */
  readonly #vips = new Map<string, VipTable>();
  readonly #endpoints = new Map<ServiceKey, Set<Holder>>();
  readonly #backed = new WeakMap<WorkloadObject['services'], BackedServices>();
  #version = 0;

  constructor(pool: WorkloadPool) {
    this.#pool = pool;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Another number after each change of a service. */
  get version(): number {
    return this.#version;
  }

  get(key: ServiceKey): ServiceObject | undefined {
    return this.#byKey.get(key)?.object;
  }

  held(key: ServiceKey): HeldService | undefined {
    return this.#byKey.get(key);
  }

  keys(): IterableIterator<ServiceKey> {
    return this.#byKey.keys();
  }

  put(object: ServiceObject): void {
    this.delete(object.key);
    const held = new HeldService(object);
    this.#byKey.set(object.key, held);
    this.#version++;
    for (const vip of object.vips) {
      const table = this.#vips.get(vip.network) ?? new VipTable();
      this.#vips.set(vip.network, table);
      table.add(vip, held);
    }
  }

  delete(key: ServiceKey): void {
    const held = this.#byKey.get(key);
    if (!held) return;
    this.#forgetBackings(key);
    this.#byKey.delete(key);
    this.#version++;
    for (const vip of held.object.vips) {
      const table = this.#vips.get(vip.network);
      table?.delete(vip, held);
      if (table?.isEmpty) this.#vips.delete(vip.network);
    }
  }

  addEndpoint(key: ServiceKey, holder: Holder): void {
    const holders = this.#endpoints.get(key);
    if (holders) holders.add(holder);
    else this.#endpoints.set(key, new Set([holder]));
    this.#forgetBackings(key);
  }

  deleteEndpoint(key: ServiceKey, holder: Holder): void {
    const holders = this.#endpoints.get(key);
    holders?.delete(holder);
    if (holders?.size === 0) this.#endpoints.delete(key);
    this.#forgetBackings(key);
  }

  endpoints(key: ServiceKey): ReadonlySet<Holder> {
    return this.#endpoints.get(key) ?? new Set();
  }

  /**
   * The service that has exactly this address, at this port if one is given. Of several: the client's namespace, then
   * `canonical`, then lowest key.
   */
  byAddress(
    network: string,
    address: Address,
    clientNamespace: string | undefined,
    port?: number,
  ): HeldService | undefined {
    return this.#vips.get(network)?.exact(address, clientNamespace, port);
  }

  /** The service with the longest prefix that covers this address; of several as `byAddress`. */
  byPrefix(
    network: string,
    address: Address,
    clientNamespace: string | undefined,
    port?: number,
  ): HeldService | undefined {
    return this.#vips.get(network)?.covering(address, clientNamespace, port);
  }

  /** Those that a workload backs. */
  backed(services: WorkloadObject['services']): BackedServices {
    let backed = this.#backed.get(services);
    if (!backed) {
      backed = new BackedServices(this, services);
      this.#backed.set(services, backed);
    }
    return backed;
  }

  backing(service: HeldService, port: number): Backing {
    for (let known = service.backings; known; known = known.next) if (known.port === port) return known;
    const { object } = service;
    const workloads = [...this.endpoints(object.key)]
      .filter((holder) => target(object, holder.object.services.get(object.key), port) > 0)
      .map((holder) => holder.workload);
    if (workloads.length === 0) return NO_BACKING;
    const common = commonFields(workloads);
    const workload = common && this.#pool.intern(common);
    if (workload) this.#pool.hold(workload);
    service.backings = { port, workload, varies: workloads.length > 1, next: service.backings };
    return service.backings;
  }

  #forgetBackings(key: ServiceKey): void {
    const service = this.#byKey.get(key);
    if (!service) return;
    for (let known = service.backings; known; known = known.next)
      if (known.workload) this.#pool.release(known.workload);
    service.backings = undefined;
  }
}

function commonFields(workloads: readonly Workload[]): WorkloadFields | undefined {
  const first = workloads[0];
  if (!first) return undefined;
  if (workloads.some((workload) => workload.name !== first.name || workload.namespace !== first.namespace)) {
    return undefined;
  }
  const common: Record<string, string | undefined> = { ...UNNAMED_FIELDS };
  for (const field of WORKLOAD_FIELDS) {
    if (workloads.every((workload) => workload[field] === first[field])) common[field] = first[field];
  }
  return { ...UNNAMED_FIELDS, ...common, name: first.name };
}
