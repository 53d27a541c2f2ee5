/**
 * Which entries an address or a cgroup concerns, and which is the other view of the same connections.
 *
 * A flood of new pairs goes through `add` and `delete`, so they look up each address once and an entry keeps where it
 * is. Most directory changes are about ends on other nodes, and touch the entries with that other end and no others. A
 * change at this node looks at every entry.
 */
import type { Pair } from '../receiver/types.ts';
import { isLoopback, maskAddress } from '../semconv/address.ts';
import type { DirectoryChange } from './directory.ts';
import type { AddressUse, Entry } from './entry.ts';
import { MultiMap } from './multi-map.ts';
import { valuesOf, withoutValue, withValue } from './one-or-many.ts';

const NO_ENTRIES: readonly Entry[] = [];

export class EntryIndex {
  /** In no order. */
  readonly #entries: Entry[] = [];
  readonly #addresses = new Map<string, AddressUse>();
  /**
   * By all that both views of a connection have in common. It has the entries whose other end is some socket of this
   * node, and only those: most pairs go to other nodes, and have no other view here.
   */
  readonly #views = new MultiMap<string, Entry>();

  get size(): number {
    return this.#entries.length;
  }

  add(entry: Entry): void {
    const { kind, localAddress, remoteAddress, dialledAddress } = entry.pair;
    if (kind === 'unattributed') return;
    const local = this.#use(localAddress);
    const remote = kind === 'pair' ? this.#use(remoteAddress) : undefined;
    const dialled = kind === 'pair' && dialledAddress !== '' ? this.#use(dialledAddress) : undefined;
    if (local.locals++ === 0) for (const other of remotesOf(local)) this.#views.add(viewKey(other.pair), other);
    if (remote) remote.others = withValue(remote.others, entry);
    if (dialled) dialled.others = withValue(dialled.others, entry);
    if (remote && remote.locals > 0) this.#views.add(viewKey(entry.pair), entry);
    entry.place = { position: this.#entries.length, local, remote, dialled };
    this.#entries.push(entry);
  }

  /** No-op if the index does not have it. */
  delete(entry: Entry): void {
    const { place } = entry;
    if (!place) return;
    const { position, local, remote, dialled } = place;
    entry.place = undefined;
    const last = this.#entries.pop()!;
    if (last !== entry) {
      this.#entries[position] = last;
      last.place!.position = position;
    }
    if (remote && remote.locals > 0) this.#views.delete(viewKey(entry.pair), entry);
    if (remote) remote.others = withoutValue(remote.others, entry);
    if (dialled) dialled.others = withoutValue(dialled.others, entry);
    if (--local.locals === 0) for (const other of remotesOf(local)) this.#views.delete(viewKey(other.pair), other);
    this.#drop(local);
    if (remote) this.#drop(remote);
    if (dialled) this.#drop(dialled);
  }

  /** Whether some socket of this node has the address. */
  hasLocal(address: string): boolean {
    return (this.#addresses.get(address)?.locals ?? 0) > 0;
  }

  /**
   * The entries that may be the other end of this one's connections: opposite role, addresses the other way round, the
   * same service port. An address that is only reachable within its network namespace must be in the same one.
   */
  mirrors(entry: Entry): readonly Entry[] {
    const { pair, place } = entry;
    const remote = place ? place.remote : this.#addresses.get(pair.remoteAddress);
    if (pair.kind !== 'pair' || !remote || remote.locals === 0) return NO_ENTRIES;
    // What was deleted may have been the last of its local address: then its mirrors are no views.
    const candidates = place ? this.#views.get(viewKey(pair)) : remotesOf(this.#addresses.get(pair.localAddress));
    return [...candidates].filter((other) => isMirror(entry, other));
  }

  *concernedBy({ addresses, cgroups, ranges }: DirectoryChange): IterableIterator<Entry> {
    let isHere = cgroups.size > 0;
    for (const address of addresses) {
      const use = this.#addresses.get(address);
      if (!use) continue;
      isHere ||= use.locals > 0;
      yield* valuesOf(use.others);
    }
    if (isHere) {
      for (const entry of this.#entries) {
        if (addresses.has(entry.pair.localAddress) || cgroups.has(entry.pair.cgroupId)) yield entry;
      }
    }
    for (const { address, length } of ranges) {
      for (const use of this.#addresses.values()) {
        const sameFamily = use.address.includes(':') === address.includes(':');
        if (sameFamily && maskAddress(use.address, length) === maskAddress(address, length))
          yield* valuesOf(use.others);
      }
    }
  }

  /** Those whose local end is in one of these network namespaces. */
  *inNamespaces(namespaces: ReadonlySet<number>): IterableIterator<Entry> {
    for (const entry of this.#entries) if (namespaces.has(entry.pair.netns)) yield entry;
  }

  all(): Iterable<Entry> {
    return this.#entries;
  }

  #use(address: string): AddressUse {
    let use = this.#addresses.get(address);
    if (!use) {
      use = { address, locals: 0, others: undefined };
      this.#addresses.set(address, use);
    }
    return use;
  }

  #drop(use: AddressUse): void {
    if (use.locals === 0 && use.others === undefined) this.#addresses.delete(use.address);
  }
}

/** Those that have the address at their other end, without those that dialled it and met another. */
function remotesOf(use: AddressUse | undefined): readonly Entry[] {
  return [...valuesOf(use?.others)].filter(({ pair }) => pair.remoteAddress === use!.address);
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
