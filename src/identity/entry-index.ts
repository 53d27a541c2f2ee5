/**
 * Which entries an address or a cgroup concerns, and which is the other view of the same connections.
 *
 * A flood of new pairs goes through `add` and `delete`, so an entry is found again by its number, its other end's address
 * is in no table, and an entry that goes is not looked at: what is known of it by its number is enough. Most directory
 * changes are about ends on other nodes, and touch the entries with that other end and no others. A change at this node
 * looks at every entry.
 */
import type { Pair } from '../receiver/types.ts';
import { type Address, addressText, isLoopback, maskAddress, NO_ADDRESS } from '../semconv/address.ts';
import { AddressChains } from './address-chains.ts';
import type { DirectoryChange } from './directory.ts';
import type { Entry } from './entry.ts';
import { MultiMap } from './multi-map.ts';
import type { Vip } from './objects.ts';

const NO_ENTRIES: readonly Entry[] = [];

/** Which of the tables have an entry, beside that of all. */
const BY_REMOTE = 1;
const BY_DIALLED = 2;
const AS_VIEW = 4;

/** An address that sockets of this node have. */
interface LocalAddress {
  readonly address: Address;
  /** Of entries. */
  count: number;
}

export class EntryIndex {
  /** By number. */
  readonly #entries: (Entry | undefined)[] = [];
  /** By number. */
  readonly #tables: number[] = [];
  /** By number. */
  readonly #local: LocalAddress[] = [];
  /** Numbers that are to be had again. */
  readonly #free: number[] = [];
  /** By the address at the other end. */
  readonly #byRemote = new AddressChains();
  /** By the address that was dialled, where another was met: most pairs have none. */
  readonly #byDialled = new MultiMap<Address, Entry>();
  readonly #locals = new Map<Address, LocalAddress>();
  /**
   * By all that both views of a connection have in common. It has the entries whose other end is some socket of this
   * node, and only those: most pairs go to other nodes, and have no other view here.
   */
  readonly #views = new MultiMap<string, Entry>();

  get size(): number {
    return this.#entries.length - this.#free.length;
  }

  add(entry: Entry): void {
    const { kind, localAddress, remoteAddress, dialledAddress } = entry.pair;
    if (kind === 'unattributed') return;
    const place = this.#free.pop() ?? this.#entries.length;
    this.#entries[place] = entry;
    entry.place = place;
    this.#tables[place] = 0;
    this.#local[place] = this.#addLocal(localAddress);
    if (kind !== 'pair') return;
    this.#byRemote.add(place, remoteAddress);
    this.#tables[place]! |= BY_REMOTE;
    if (dialledAddress !== NO_ADDRESS) {
      this.#byDialled.add(dialledAddress, entry);
      this.#tables[place]! |= BY_DIALLED;
    }
    if (this.hasLocal(remoteAddress)) this.#addView(entry);
  }

  /** No-op if the index does not have it. */
  delete(entry: Entry): void {
    const { place } = entry;
    if (place === undefined) return;
    const tables = this.#tables[place]!;
    if (tables & AS_VIEW) this.#deleteView(entry);
    if (tables & BY_DIALLED) this.#byDialled.delete(entry.pair.dialledAddress, entry);
    if (tables & BY_REMOTE) this.#byRemote.delete(place);
    this.#deleteLocal(this.#local[place]!);
    entry.place = undefined;
    this.#entries[place] = undefined;
    this.#free.push(place);
  }

  #addLocal(address: Address): LocalAddress {
    let local = this.#locals.get(address);
    if (!local) {
      local = { address, count: 0 };
      this.#locals.set(address, local);
      for (const other of this.#withRemote(address)) this.#addView(other);
    }
    local.count++;
    return local;
  }

  #deleteLocal(local: LocalAddress): void {
    if (--local.count > 0) return;
    this.#locals.delete(local.address);
    for (const other of this.#withRemote(local.address)) this.#deleteView(other);
  }

  #addView(entry: Entry): void {
    this.#views.add(viewKey(entry.pair), entry);
    this.#tables[entry.place!]! |= AS_VIEW;
  }

  #deleteView(entry: Entry): void {
    this.#views.delete(viewKey(entry.pair), entry);
    this.#tables[entry.place!]! &= ~AS_VIEW;
  }

  /** Whether some socket of this node has the address. */
  hasLocal(address: Address): boolean {
    return this.#locals.has(address);
  }

  /**
   * The entries that may be the other end of this one's connections: opposite role, addresses the other way round, the
   * same service port. An address that is only reachable within its network namespace must be in the same one.
   */
  mirrors(entry: Entry): readonly Entry[] {
    const { pair, place } = entry;
    const hasMirrors =
      place === undefined
        ? pair.kind === 'pair' && this.hasLocal(pair.remoteAddress)
        : (this.#tables[place]! & AS_VIEW) !== 0;
    if (!hasMirrors) return NO_ENTRIES;
    // What was deleted may have been the last of its local address: then its mirrors are no views.
    const candidates = place === undefined ? this.#withRemote(pair.localAddress) : this.#views.get(viewKey(pair));
    return [...candidates].filter((other) => isMirror(entry, other));
  }

  *concernedBy({ addresses, cgroups, ranges }: DirectoryChange): IterableIterator<Entry> {
    let isHere = cgroups.size > 0;
    for (const address of addresses) {
      isHere ||= this.hasLocal(address);
      yield* this.#withRemote(address);
      yield* this.#byDialled.get(address);
    }
    if (isHere) {
      for (const entry of this.all()) {
        if (addresses.has(entry.pair.localAddress) || cgroups.has(entry.pair.cgroupId)) yield entry;
      }
    }
    if (ranges.length > 0) yield* this.#within(ranges);
  }

  /** Those whose local end is in one of these network namespaces. */
  *inNamespaces(namespaces: ReadonlySet<number>): IterableIterator<Entry> {
    for (const entry of this.all()) if (namespaces.has(entry.pair.netns)) yield entry;
  }

  /** In no order. */
  *all(): IterableIterator<Entry> {
    for (const entry of this.#entries) if (entry) yield entry;
  }

  /** Those that have the address at their other end, without those that dialled it and met another. */
  *#withRemote(address: Address): IterableIterator<Entry> {
    for (const place of this.#byRemote.candidates(address)) {
      const entry = this.#entries[place]!;
      if (entry.pair.remoteAddress === address) yield entry;
    }
  }

  /** Those that have an address of these ranges at their other end, or dialled one. Each address is looked at once. */
  *#within(ranges: readonly Vip[]): IterableIterator<Entry> {
    const known = new Map<Address, boolean>();
    const isWithin = (address: Address): boolean => {
      let within = known.get(address);
      if (within === undefined) {
        const text = addressText(address);
        within = ranges.some((range) => covers(range, text));
        known.set(address, within);
      }
      return within;
    };
    for (const entry of this.all()) {
      const { kind, role, localAddress, remoteAddress, dialledAddress } = entry.pair;
      if (kind !== 'pair') continue;
      // A server's own address is what was dialled, as far as it knows.
      const server = role === 'destination' ? localAddress : remoteAddress;
      if (isWithin(server) || (dialledAddress !== NO_ADDRESS && isWithin(dialledAddress))) yield entry;
    }
  }
}

function covers(range: Vip, address: string): boolean {
  const sameFamily = range.address.includes(':') === address.includes(':');
  return sameFamily && maskAddress(address, range.length) === maskAddress(range.address, range.length);
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
