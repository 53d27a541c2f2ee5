/**
 * Who is behind which address, from the endpoints of all clusters. A pod is an endpoint of each service port that it
 * backs, so an address is put together from several clusters; only addresses that a change concerns are put together
 * anew.
 *
 * Endpoints do not say whether a pod has the host's network. An address with several namings is a node's, or is just
 * changing hands: it names nobody, but each service still knows its own workload there.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Shelf } from '../../directory.ts';
import { MultiMap } from '../../multi-map.ts';
import type { ServiceKey, WorkloadObject } from '../../objects.ts';
import type { Breather } from '../../slices.ts';
import { WideMap } from '../../wide-map.ts';
import { UNNAMED_FIELDS } from '../../workload-pool.ts';
import type { Cluster, Endpoint, Naming } from './resources.ts';

/** The workload of endpoints whose metadata names none: there is somebody, so that no other is taken for it. */
const NAMELESS = { ...UNNAMED_FIELDS, name: 'unknown' };

interface Group {
  cluster: Cluster;
  endpoints: MultiMap<string, Endpoint>;
}

interface Occupant {
  readonly naming: Naming;
  /** null: clusters contradict each other, which proves nothing. */
  principal: string | undefined | null;
  hbone: boolean;
  readonly services: Map<ServiceKey, Map<number, number>>;
}

export class EndpointTable {
  readonly #shelf: Shelf;
  readonly #groups = new Map<string, Group>();
  readonly #groupsAt = new MultiMap<string, Group>(new WideMap());
  /** Addresses to put together anew. */
  readonly #dirty = new Set<string>();
  /** What the shelf has, by address. */
  readonly #pushed = new WideMap<string, readonly WorkloadObject[]>();

  /** The last one made: pods of one service follow each other, and share what they have in common. */
  #last: WorkloadObject | undefined;

  constructor(shelf: Shelf) {
    this.#shelf = shelf;
  }

  /** True if the address names a workload. */
  names(address: string): boolean {
    return this.#pushed.get(address)?.[0]?.hostNetwork === false;
  }

  /** All endpoints that a cluster has now. The shelf learns of it with `flush`. */
  async put(cluster: Cluster, endpoints: readonly Endpoint[], breathe: Breather): Promise<void> {
    const known = this.#groups.get(cluster.name);
    const group: Group = known ?? { cluster, endpoints: new MultiMap() };
    this.#groups.set(cluster.name, group);
    const next = new MultiMap<string, Endpoint>();
    for (const endpoint of endpoints) {
      next.add(endpoint.address, endpoint);
      await breathe();
    }
    for (const address of group.endpoints.keys()) {
      if (!next.has(address)) this.#leave(address, group);
      await breathe();
    }
    const retold = !sameTelling(group.cluster, cluster);
    for (const address of next.keys()) {
      this.#groupsAt.add(address, group);
      if (retold || !sameEndpoints([...group.endpoints.get(address)], [...next.get(address)])) this.#dirty.add(address);
      await breathe();
    }
    group.cluster = cluster;
    group.endpoints = next;
  }

  async delete(clusterName: string, breathe: Breather): Promise<void> {
    const group = this.#groups.get(clusterName);
    if (!group) return;
    this.#groups.delete(clusterName);
    for (const address of group.endpoints.keys()) {
      this.#leave(address, group);
      await breathe();
    }
  }

  /** Tells the shelf what has changed. Returns the addresses that `names` has another answer for now. */
  async flush(breathe: Breather): Promise<ReadonlySet<string>> {
    const turned = new Set<string>();
    // Not taken out one by one: a set that shrinks under its iterator is slow.
    for (const address of this.#dirty) {
      const before = this.names(address);
      this.#push(address, this.#occupants(address));
      if (this.names(address) !== before) turned.add(address);
      await breathe();
    }
    this.#dirty.clear();
    return turned;
  }

  #leave(address: string, group: Group): void {
    this.#groupsAt.delete(address, group);
    this.#dirty.add(address);
  }

  #occupants(address: string): Occupant[] {
    const occupants: Occupant[] = [];
    for (const { cluster, endpoints } of this.#groupsAt.get(address)) {
      for (const { naming, port, hbone } of endpoints.get(address)) {
        let occupant = occupants.find((other) => other.naming.id === naming.id);
        if (!occupant) {
          occupant = { naming, principal: undefined, hbone: false, services: new Map() };
          occupants.push(occupant);
        }
        occupant.hbone ||= hbone;
        if (cluster.principal !== undefined) {
          const contradicted = occupant.principal !== undefined && occupant.principal !== cluster.principal;
          occupant.principal = contradicted ? null : cluster.principal;
        }
        if (cluster.service) addPort(occupant.services, cluster.service.key, cluster.service.port, port);
      }
    }
    return occupants;
  }

  #push(address: string, occupants: readonly Occupant[]): void {
    const shared = occupants.length > 1;
    const objects = occupants.map((occupant) => this.#object(address, occupant, shared));
    const uids = new Set(objects.map(({ uid }) => uid));
    for (const { uid } of this.#pushed.get(address) ?? []) if (!uids.has(uid)) this.#shelf.removeWorkload(uid);
    for (const object of objects) this.#shelf.upsertWorkload(object);
    if (objects.length > 0) this.#pushed.set(address, objects);
    else this.#pushed.delete(address);
  }

  #object(address: string, { naming, principal, hbone, services }: Occupant, shared: boolean): WorkloadObject {
    const fields = naming.fields ? { ...naming.fields, principal: principal ?? undefined } : NAMELESS;
    const last = this.#last;
    const object: WorkloadObject = {
      uid: `${naming.id} ${address}`,
      fields: isDeepStrictEqual(last?.fields, fields) ? last!.fields : fields,
      addresses: [address],
      network: this.#shelf.network,
      hostNetwork: shared || naming.fields === undefined,
      pod: false,
      hbone,
      cgroups: [],
      services: isDeepStrictEqual(last?.services, services) ? last!.services : services,
    };
    this.#last = object;
    return object;
  }
}

/** One workload that serves a service port on several ports of one address: the lowest stands for it. */
function addPort(services: Occupant['services'], key: ServiceKey, servicePort: number, port: number): void {
  const ports = services.get(key) ?? new Map<number, number>();
  services.set(key, ports);
  ports.set(servicePort, Math.min(port, ports.get(servicePort) ?? port));
}

/** Whether two versions of a cluster say the same about their endpoints. */
const sameTelling = (a: Cluster, b: Cluster): boolean =>
  a.principal === b.principal && a.service?.key === b.service?.key && a.service?.port === b.service?.port;

function sameEndpoints(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  const [one, other] = [a[0], b[0]];
  if (a.length !== b.length || !one || !other) return false;
  if (a.length === 1) return one.port === other.port && one.hbone === other.hbone && one.naming.id === other.naming.id;
  const text = (endpoints: readonly Endpoint[]) => endpoints.map((e) => `${e.port} ${e.hbone} ${e.naming.id}`).sort();
  return text(a).join() === text(b).join();
}
