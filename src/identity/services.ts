/**
 * The services of one shelf: by virtual address, and by the target port of a workload that backs them. Services are
 * looked up as they are now: their addresses are not reused within the seconds that a record takes.
 */
import type { Address } from '../semconv/address.ts';
import type { Holder } from './directory.ts';
import type { PortMap, ServiceKey, ServiceObject, WorkloadObject } from './objects.ts';
import type { Workload } from './types.ts';
import { VipTable } from './vip-table.ts';
import { UNNAMED_FIELDS, WORKLOAD_FIELDS, type WorkloadFields, type WorkloadPool } from './workload-pool.ts';

const byKey = (a: ServiceObject, b: ServiceObject): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);

/** Lowest FQDN first, then lowest namespace: the same answer at both ends and on every node. */
const byHostname = (a: ServiceObject, b: ServiceObject): number =>
  a.service.hostname < b.service.hostname ? -1 : a.service.hostname > b.service.hostname ? 1 : byKey(a, b);

/**
 * Of several before one port those with a virtual address come first: whose client dials one, he has named it by that,
 * and a headless twin (`db-headless` beside `db`) must not make another edge of it at the server.
 */
const byDialling = (a: ServiceObject, b: ServiceObject): number =>
  Number(a.vips.length === 0) - Number(b.vips.length === 0) || byHostname(a, b);

/** Who serves one port of a service. */
export interface Backing {
  /**
   * As far as all endpoints agree: fields in which they differ (pod, zone) are unknown. undefined if they are several
   * workloads, or none.
   */
  readonly workload: Workload | undefined;
  /** There is not just one endpoint: each connection may meet another. */
  readonly varies: boolean;
}

const NO_BACKING: Backing = { workload: undefined, varies: true };

export class ServiceIndex {
  readonly #pool: WorkloadPool;
  readonly #byKey = new Map<ServiceKey, ServiceObject>();
  /** By network. */
  readonly #vips = new Map<string, VipTable>();
  readonly #endpoints = new Map<ServiceKey, Set<Holder>>();
  /**
   * What `byTargetPort` found, by what a workload backs and port; dropped when any service changes. Not that there is
   * none: whoever tries all ports would fill it.
   */
  #byTargetPort = new WeakMap<WorkloadObject['services'], Map<number, ServiceObject>>();
  /** What `backing` found, by service and port; dropped when either changes. As above, not that there is nobody. */
  readonly #backings = new Map<ServiceKey, Map<number, Backing>>();

  constructor(pool: WorkloadPool) {
    this.#pool = pool;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get(key: ServiceKey): ServiceObject | undefined {
    return this.#byKey.get(key);
  }

  keys(): IterableIterator<ServiceKey> {
    return this.#byKey.keys();
  }

  put(object: ServiceObject): void {
    this.delete(object.key);
    this.#byKey.set(object.key, object);
    this.#byTargetPort = new WeakMap();
    for (const vip of object.vips) {
      const table = this.#vips.get(vip.network) ?? new VipTable();
      this.#vips.set(vip.network, table);
      table.add(vip, object);
    }
    this.#forgetBackings(object.key);
  }

  delete(key: ServiceKey): void {
    const object = this.#byKey.get(key);
    if (!object) return;
    this.#byKey.delete(key);
    this.#byTargetPort = new WeakMap();
    for (const vip of object.vips) {
      const table = this.#vips.get(vip.network);
      table?.delete(vip, object);
      if (table?.isEmpty) this.#vips.delete(vip.network);
    }
    this.#forgetBackings(key);
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
  ): ServiceObject | undefined {
    return this.#vips.get(network)?.exact(address, clientNamespace, port);
  }

  /** The service with the longest prefix that covers this address; of several as `byAddress`. */
  byPrefix(
    network: string,
    address: Address,
    clientNamespace: string | undefined,
    port?: number,
  ): ServiceObject | undefined {
    return this.#vips.get(network)?.covering(address, clientNamespace, port);
  }

  /** The service of this workload whose target port is `port`: one with a virtual address before others, then lowest FQDN. */
  byTargetPort({ object: { services } }: Holder, port: number): ServiceObject | undefined {
    const known = this.#byTargetPort.get(services)?.get(port);
    if (known) return known;
    const service = this.#findByTargetPort(services, port);
    if (service) this.#remember(services, port, service);
    return service;
  }

  #findByTargetPort(backed: WorkloadObject['services'], port: number): ServiceObject | undefined {
    let best: ServiceObject | undefined;
    for (const [key, own] of backed) {
      const service = this.#byKey.get(key);
      if (!service || !serves(service, own, port)) continue;
      if (!best || byDialling(service, best) < 0) best = service;
    }
    return best;
  }

  #remember(backed: WorkloadObject['services'], port: number, service: ServiceObject): void {
    const ports = this.#byTargetPort.get(backed) ?? new Map<number, ServiceObject>();
    this.#byTargetPort.set(backed, ports.set(port, service));
  }

  backing(object: ServiceObject, port: number): Backing {
    let ports = this.#backings.get(object.key);
    const known = ports?.get(port);
    if (known) return known;
    const workloads = [...this.endpoints(object.key)]
      .filter((holder) => target(object, holder.object.services.get(object.key), port) > 0)
      .map((holder) => holder.workload);
    if (workloads.length === 0) return NO_BACKING;
    const common = commonFields(workloads);
    const workload = common && this.#pool.intern(common);
    if (workload) this.#pool.hold(workload);
    const backing = { workload, varies: workloads.length > 1 };
    ports ??= new Map();
    this.#backings.set(object.key, ports.set(port, backing));
    return backing;
  }

  #forgetBackings(key: ServiceKey): void {
    const backings = this.#backings.get(key);
    if (!backings) return;
    for (const { workload } of backings.values()) if (workload) this.#pool.release(workload);
    this.#backings.delete(key);
  }
}

/** The port on which a workload serves a service port; 0 if it does not. `own`: the ports it has for that service. */
function target(service: ServiceObject, own: PortMap | undefined, servicePort: number): number {
  return service.ports.get(servicePort) || own?.get(servicePort) || 0;
}

/** Whether `port` is the target of one of the service's ports. Never 0: a named port that this workload lacks is none. */
function serves(service: ServiceObject, own: PortMap, port: number): boolean {
  if (port === 0) return false;
  for (const servicePort of service.ports.keys()) if (target(service, own, servicePort) === port) return true;
  for (const servicePort of own.keys()) if (target(service, own, servicePort) === port) return true;
  return false;
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
