/**
 * The directory: who held what when. Each source fills a shelf of its own; lookups go through the shelves in the
 * configured order. Every change is announced by the addresses and cgroups whose answer it may alter.
 */
import { isDeepStrictEqual } from 'node:util';
import { type Address, addressOf, fullLength } from '../semconv/address.ts';
import { AddressMap } from './address-map.ts';
import type { BackedServices } from './backed-services.ts';
import type { Clock } from './clock.ts';
import type { ServiceKey, ServiceObject, Vip, WorkloadObject } from './objects.ts';
import { ServiceIndex } from './services.ts';
import type { CgroupOwners } from './sources/cgroup-owners.ts';
import { Timeline } from './timeline.ts';
import type { Workload } from './types.ts';
import { WideMap } from './wide-map.ts';
import { WorkloadPool } from './workload-pool.ts';

/** How long an ended claim still answers for connections opened before its end. */
export const TOMBSTONE_MS = 180_000;

/** A workload that a source pushed, as the directory holds it: a new one for each version of the object. */
export interface Holder {
  readonly object: WorkloadObject;
  readonly workload: Workload;
  readonly backed: BackedServices;
}

/** What may have another answer now. */
export interface DirectoryChange {
  readonly addresses: ReadonlySet<Address>;
  readonly cgroups: ReadonlySet<number>;
  readonly ranges: readonly Vip[];
  /** A source has got its first whole state: every answer may be another. */
  readonly synced: boolean;
}

export class Directory {
  readonly pool: WorkloadPool;
  readonly clock: Clock;
  readonly tombstoneMs: number;
  /** Which cgroups are a pod's; undefined: pods cannot be told by cgroup. */
  readonly owners: CgroupOwners | undefined;
  readonly #shelves: Shelf[] = [];
  readonly #listeners = new Set<(change: DirectoryChange) => void>();

  constructor(clock: Clock, tombstoneMs = TOMBSTONE_MS, owners?: CgroupOwners) {
    this.clock = clock;
    this.tombstoneMs = tombstoneMs;
    this.owners = owners;
    this.pool = new WorkloadPool(() => clock.wall());
  }

  /** Shelves in the order in which they answer. */
  get shelves(): readonly Shelf[] {
    return this.#shelves;
  }

  /** Adds a shelf behind the others. `network`: the one this node is in, by that source's names. */
  addShelf(name: string, network: string): Shelf {
    const shelf = new Shelf(name, network, this, (change) => {
      for (const listener of this.#listeners) listener(change);
    });
    this.#shelves.push(shelf);
    return shelf;
  }

  onChange(listener: (change: DirectoryChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Drops tombstones whose time is over, and what nobody refers to any more. */
  prune(): void {
    for (const shelf of this.#shelves) shelf.prune(this.clock.now() - this.tombstoneMs);
    this.owners?.prune(this.clock.now() - this.tombstoneMs);
    this.pool.prune();
  }
}

/** What one source knows. Pushing an object equal to the one held changes nothing. */
export class Shelf {
  readonly name: string;
  readonly network: string;
  readonly services: ServiceIndex;
  readonly #directory: Directory;
  readonly #announce: (change: DirectoryChange) => void;
  readonly #workloads = new WideMap<string, Holder>();
  readonly #byAddress = new Timeline<Address, Holder>(rankAddressClaims, new AddressMap());
  readonly #byCgroup = new Timeline<number, Holder>(byUid);
  readonly #byPod = new Timeline<string, Holder>(byUid, new WideMap());
  #podCount = 0;
  #synced = false;

  constructor(name: string, network: string, directory: Directory, announce: (change: DirectoryChange) => void) {
    this.name = name;
    this.network = network;
    this.services = new ServiceIndex(directory.pool);
    this.#directory = directory;
    this.#announce = announce;
  }

  /** Whether the source has told its whole state once. What it pushes before holds from the beginning of time. */
  get synced(): boolean {
    return this.#synced;
  }

  get workloadCount(): number {
    return this.#workloads.size;
  }

  /** Whether it holds workloads that the node's cgroups can name. */
  get holdsPods(): boolean {
    return this.#podCount > 0;
  }

  workload(uid: string): Holder | undefined {
    return this.#workloads.get(uid);
  }

  uids(): IterableIterator<string> {
    return this.#workloads.keys();
  }

  markSynced(): void {
    if (this.#synced) return;
    this.#synced = true;
    this.#announce({ addresses: new Set(), cgroups: new Set(), ranges: [], synced: true });
  }

  /** Adds or replaces the workload of this uid: what it held and holds no more leaves the index. */
  upsertWorkload(object: WorkloadObject): void {
    const old = this.#workloads.get(object.uid);
    const workload = this.#directory.pool.acquire(object.fields);
    // Held with the fields that all of this naming share: its own copy is not kept.
    const held: WorkloadObject = { ...object, fields: workload };
    if (old && isDeepStrictEqual(old.object, held)) {
      this.#directory.pool.release(workload);
      return;
    }
    const holder: Holder = { object: held, workload, backed: this.services.backed(object.services) };
    if (old) this.#take(old);
    const fromMs = this.#synced ? this.#directory.clock.now() : undefined;
    this.#workloads.set(object.uid, holder);
    for (const address of this.#ownAddresses(object)) this.#byAddress.begin(addressOf(address), holder, fromMs);
    for (const cgroup of object.cgroups) this.#byCgroup.begin(cgroup, holder, fromMs);
    for (const podUid of podUids(object)) this.#byPod.begin(podUid, holder, fromMs);
    this.#podCount += podUids(object).length;
    for (const service of object.services.keys()) this.services.addEndpoint(service, holder);
    this.#announceWorkloads(old ? [old, holder] : [holder]);
  }

  /** No-op if this source has no workload of that uid: another's addresses are never touched. */
  removeWorkload(uid: string): void {
    const old = this.#workloads.get(uid);
    if (!old) return;
    this.#take(old);
    this.#workloads.delete(uid);
    this.#announceWorkloads([old]);
  }

  upsertService(object: ServiceObject): void {
    const old = this.services.get(object.key);
    if (old && isDeepStrictEqual(old, object)) return;
    this.services.put(object);
    this.#announceService(object.key, [...(old?.vips ?? []), ...object.vips]);
  }

  removeService(key: ServiceKey): void {
    const old = this.services.get(key);
    if (!old) return;
    this.services.delete(key);
    this.#announceService(key, old.vips);
  }

  /** Who held the address in this node's network at `atMs` (as Clock.now has it), or who holds it now. */
  byAddress(address: Address, atMs: number | undefined): Holder | undefined {
    return atMs === undefined ? this.#byAddress.current(address) : this.#byAddress.at(address, atMs);
  }

  /** Whose cgroup it is: that of the workload which names it, else that of its pod. */
  byCgroup(id: number, atMs: number | undefined): Holder | undefined {
    const podUid = this.#directory.owners?.owner(id, atMs)?.podUid;
    return this.namesCgroup(id, atMs) ?? (podUid === undefined ? undefined : this.byPod(podUid, atMs));
  }

  /** The workload that names this cgroup as its own. */
  namesCgroup(id: number, atMs: number | undefined): Holder | undefined {
    return atMs === undefined ? this.#byCgroup.current(id) : this.#byCgroup.at(id, atMs);
  }

  /** The pod that the node's cgroups call by this UID. */
  byPod(podUid: string, atMs: number | undefined): Holder | undefined {
    return atMs === undefined ? this.#byPod.current(podUid) : this.#byPod.at(podUid, atMs);
  }

  prune(limitMs: number): void {
    this.#byAddress.prune(limitMs);
    this.#byCgroup.prune(limitMs);
    this.#byPod.prune(limitMs);
  }

  /** Those that name it here: in another network they are other machines, and a host-network workload's are the node's. */
  #ownAddresses(object: WorkloadObject): readonly string[] {
    return object.hostNetwork || object.network !== this.network ? [] : object.addresses;
  }

  /** Takes all that a version held out of the indexes; its claims stay as tombstones. */
  #take(holder: Holder): void {
    const now = this.#directory.clock.now();
    for (const address of this.#ownAddresses(holder.object)) this.#byAddress.end(addressOf(address), holder, now);
    for (const cgroup of holder.object.cgroups) this.#byCgroup.end(cgroup, holder, now);
    for (const podUid of podUids(holder.object)) this.#byPod.end(podUid, holder, now);
    this.#podCount -= podUids(holder.object).length;
    for (const service of holder.object.services.keys()) this.services.deleteEndpoint(service, holder);
    this.#directory.pool.release(holder.workload);
  }

  /** Until the whole state is told nobody is told of its parts: all is asked again then. */
  #announceWorkloads(versions: readonly Holder[]): void {
    if (!this.#synced) return;
    const addresses = new Set<Address>();
    const cgroups = new Set<number>();
    const vips: Vip[] = [];
    for (const { object } of versions) {
      for (const address of object.addresses) addresses.add(addressOf(address));
      for (const cgroup of this.#cgroupsOf(object)) cgroups.add(cgroup);
      // Who dials the service may have another workload behind it now.
      for (const key of object.services.keys()) vips.push(...(this.services.get(key)?.vips ?? []));
    }
    this.#announce({ addresses: withVips(addresses, vips), cgroups, ranges: vips.filter(isRange), synced: false });
  }

  #announceService(key: ServiceKey, vips: readonly Vip[]): void {
    if (!this.#synced) return;
    const addresses = new Set<Address>();
    const cgroups = new Set<number>();
    for (const { object } of this.services.endpoints(key)) {
      for (const address of object.addresses) addresses.add(addressOf(address));
      for (const cgroup of this.#cgroupsOf(object)) cgroups.add(cgroup);
    }
    this.#announce({ addresses: withVips(addresses, vips), cgroups, ranges: vips.filter(isRange), synced: false });
  }

  *#cgroupsOf(object: WorkloadObject): Iterable<number> {
    yield* object.cgroups;
    for (const podUid of podUids(object)) yield* this.#directory.owners?.cgroupsOf(podUid) ?? [];
  }
}

const NO_PODS: readonly string[] = [];
const podUids = (object: WorkloadObject): readonly string[] => object.podUids ?? NO_PODS;

const isRange = (vip: Vip): boolean => vip.length < fullLength(vip.address);

function withVips(addresses: Set<Address>, vips: readonly Vip[]): Set<Address> {
  for (const vip of vips) if (!isRange(vip)) addresses.add(addressOf(vip.address));
  return addresses;
}

const byUid = (a: Holder, b: Holder): number => (a.object.uid < b.object.uid ? -1 : 1);

/** Of several workloads with one address: a pod that speaks HBONE, a pod, one that speaks HBONE, another; lowest uid. */
function rankAddressClaims(a: Holder, b: Holder): number {
  const rank = ({ object }: Holder) => (object.pod ? 0 : 2) + (object.hbone ? 0 : 1);
  return rank(a) - rank(b) || byUid(a, b);
}
