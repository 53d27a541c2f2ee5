/**
 * Which entries an address or a cgroup concerns, and which is the other view of the same connections: a change in the
 * directory touches these and no others.
 */
import type { Pair } from '../receiver/types.ts';
import { isLoopback, maskAddress } from '../semconv/address.ts';
import type { DirectoryChange } from './directory.ts';
import type { Entry } from './entry.ts';
import { MultiMap } from './multi-map.ts';

const NO_ENTRIES: readonly Entry[] = [];

export class EntryIndex {
  readonly #local = new MultiMap<string, Entry>();
  /** By the other end's address, and by what was dialled instead of it. */
  readonly #remote = new MultiMap<string, Entry>();
  /**
   * By all that both views of a connection have in common. It has the entries whose other end some socket of this node
   * has, and only those: most pairs go to other nodes, and have no other view here.
   */
  readonly #view = new MultiMap<string, Entry>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(entry: Entry): void {
    const { kind, localAddress, remoteAddress, dialledAddress } = entry.pair;
    if (kind === 'unattributed') return;
    this.#size++;
    if (!this.#local.has(localAddress)) {
      for (const other of this.#remote.get(localAddress)) {
        if (other.pair.remoteAddress === localAddress) this.#view.add(viewKey(other.pair), other);
      }
    }
    this.#local.add(localAddress, entry);
    if (kind !== 'pair') return;
    this.#remote.add(remoteAddress, entry);
    if (dialledAddress !== '') this.#remote.add(dialledAddress, entry);
    if (this.#local.has(remoteAddress)) this.#view.add(viewKey(entry.pair), entry);
  }

  delete(entry: Entry): void {
    const { kind, localAddress, remoteAddress, dialledAddress } = entry.pair;
    if (kind === 'unattributed') return;
    this.#size--;
    if (kind === 'pair') {
      if (this.#local.has(remoteAddress)) this.#view.delete(viewKey(entry.pair), entry);
      if (dialledAddress !== '') this.#remote.delete(dialledAddress, entry);
      this.#remote.delete(remoteAddress, entry);
    }
    this.#local.delete(localAddress, entry);
    if (this.#local.has(localAddress)) return;
    for (const other of this.#remote.get(localAddress)) this.#view.delete(viewKey(other.pair), other);
  }

  /** Whether some socket of this node has the address. */
  hasLocal(address: string): boolean {
    return this.#local.has(address);
  }

  /**
   * The entries that may be the other end of this one's connections: opposite role, addresses the other way round, the
   * same service port. An address that is only reachable within its network namespace must be in the same one.
   */
  mirrors(entry: Entry): readonly Entry[] {
    const { kind, localAddress, remoteAddress } = entry.pair;
    if (kind !== 'pair' || !this.#local.has(remoteAddress)) return NO_ENTRIES;
    // An entry that has been deleted may have been the last one with its local address.
    const views = this.#local.has(localAddress) ? this.#view.get(viewKey(entry.pair)) : this.#remote.get(localAddress);
    return [...views].filter((other) => isMirror(entry, other));
  }

  /** Where cgroups changed it looks at every entry. */
  *concernedBy(change: DirectoryChange): IterableIterator<Entry> {
    for (const address of change.addresses) yield* this.#at(address);
    if (change.cgroups.size > 0) {
      for (const entry of this.all()) if (change.cgroups.has(entry.pair.cgroupId)) yield entry;
    }
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
    for (const address of this.#local.keys()) yield* this.#local.get(address);
  }

  *#at(address: string): IterableIterator<Entry> {
    yield* this.#local.get(address);
    yield* this.#remote.get(address);
  }
}

/** The client's address, the server's, and its port: the same for both views of a connection. */
function viewKey({ role, localAddress, remoteAddress, servicePort }: Pair): string {
  const [client, server] = role === 'source' ? [localAddress, remoteAddress] : [remoteAddress, localAddress];
  return `${client} ${server} ${servicePort}`;
}

function isMirror(one: Entry, other: Entry): boolean {
  const { role, localAddress, remoteAddress, servicePort, netns } = one.pair;
  const opposite =
    other.pair.role !== role && other.pair.localAddress === remoteAddress && other.pair.remoteAddress === localAddress;
  if (!opposite || other.pair.servicePort !== servicePort || other.source !== one.source) return false;
  const oneNamespace = isLoopback(remoteAddress) || isLoopback(localAddress) || localAddress === remoteAddress;
  return !oneNamespace || other.pair.netns === netns;
}
