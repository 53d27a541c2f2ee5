/**
 * Which entries an address or a cgroup concerns, and which is the other view of the same connections: a change in the
 * directory touches these and no others.
 */
import { isLoopback, maskAddress } from '../semconv/address.ts';
import type { DirectoryChange } from './directory.ts';
import type { Entry } from './entry.ts';
import { MultiMap } from './multi-map.ts';

export class EntryIndex {
  readonly #local = new MultiMap<string, Entry>();
  /** By the other end's address, and by what was dialled instead of it. */
  readonly #remote = new MultiMap<string, Entry>();
  readonly #cgroup = new MultiMap<bigint, Entry>();
  /** By role, both addresses and port, as the pair itself has them. */
  readonly #view = new MultiMap<string, Entry>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(entry: Entry): void {
    const { pair } = entry;
    if (pair.kind === 'unattributed') return;
    this.#size++;
    this.#local.add(pair.localAddress, entry);
    this.#cgroup.add(pair.cgroupId, entry);
    if (pair.kind !== 'pair') return;
    this.#remote.add(pair.remoteAddress, entry);
    if (pair.dialledAddress !== '') this.#remote.add(pair.dialledAddress, entry);
    this.#view.add(viewKey(pair.role, pair.localAddress, pair.remoteAddress, pair.servicePort), entry);
  }

  delete(entry: Entry): void {
    const { pair } = entry;
    if (pair.kind === 'unattributed') return;
    this.#size--;
    this.#local.delete(pair.localAddress, entry);
    this.#cgroup.delete(pair.cgroupId, entry);
    if (pair.kind !== 'pair') return;
    this.#remote.delete(pair.remoteAddress, entry);
    if (pair.dialledAddress !== '') this.#remote.delete(pair.dialledAddress, entry);
    this.#view.delete(viewKey(pair.role, pair.localAddress, pair.remoteAddress, pair.servicePort), entry);
  }

  /** Whether some socket of this node has the address. */
  hasLocal(address: string): boolean {
    return this.#local.has(address);
  }

  /**
   * The entries that may be the other end of this one's connections: opposite role, addresses the other way round, the
   * same service port. An address that is only reachable within its network namespace must be in the same one.
   */
  *mirrors(entry: Entry): IterableIterator<Entry> {
    const { role, localAddress, remoteAddress, servicePort, netns } = entry.pair;
    if (entry.pair.kind !== 'pair') return;
    const oneNamespace = isLoopback(remoteAddress) || isLoopback(localAddress) || localAddress === remoteAddress;
    const opposite = role === 'source' ? 'destination' : 'source';
    for (const other of this.#view.get(viewKey(opposite, remoteAddress, localAddress, servicePort))) {
      if (other.source === entry.source && (!oneNamespace || other.pair.netns === netns)) yield other;
    }
  }

  *concernedBy(change: DirectoryChange): IterableIterator<Entry> {
    for (const address of change.addresses) yield* this.#at(address);
    for (const cgroup of change.cgroups) yield* this.#cgroup.get(cgroup);
    for (const { address, length } of change.ranges) {
      for (const remote of this.#remote.keys()) {
        const sameFamily = remote.includes(':') === address.includes(':');
        if (sameFamily && maskAddress(remote, length) === maskAddress(address, length)) yield* this.#remote.get(remote);
      }
    }
  }

  /** Those whose local end is in one of these network namespaces. Looks at every entry. */
  *inNamespaces(namespaces: ReadonlySet<number>): IterableIterator<Entry> {
    for (const entry of this.all()) if (namespaces.has(entry.pair.netns)) yield entry;
  }

  *all(): IterableIterator<Entry> {
    for (const cgroup of this.#cgroup.keys()) yield* this.#cgroup.get(cgroup);
  }

  *#at(address: string): IterableIterator<Entry> {
    yield* this.#local.get(address);
    yield* this.#remote.get(address);
  }
}

const viewKey = (role: string, local: string, remote: string, port: number): string =>
  `${role} ${local} ${remote} ${port}`;
