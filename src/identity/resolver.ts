/**
 * The rules: from a pair to its peers (identity.md). An answer also says how sure it is, since a connection may wait
 * for a better one and a labelled slot must not be renewed for a passing doubt.
 */
import type { Pair } from '../receiver/types.ts';
import { type Address, isLoopback, NO_ADDRESS } from '../semconv/address.ts';
import type { Directory, Holder } from './directory.ts';
import { type Entry, localEnd } from './entry.ts';
import type { EntryIndex } from './entry-index.ts';
import { securityPolicy } from './hbone.ts';
import { LocalEnd, type LocalEndParts, type Question } from './local-end.ts';
import type { NodeAddresses } from './node-addresses.ts';
import type { LocalContainer, Peers, Service, Workload } from './types.ts';

/**
 * `known`: named. `never`: nobody will ever name it. `absent`: nobody has it now, a source may get it.
 * `unsure`: cannot be told at the moment (a source has no state yet, a cgroup is being looked up, the other view of the
 * connection has not come).
 */
export type Certainty = 'known' | 'never' | 'absent' | 'unsure';

interface End {
  readonly certainty: Certainty;
  readonly workload?: Workload | undefined;
  readonly holder?: Holder | undefined;
  /** Of a local end. */
  readonly container?: LocalContainer | undefined;
  readonly via?: 'directory' | 'process' | 'join' | 'endpoints';
  /** No source holds the workload: it lives by its connections. */
  readonly heldByUse?: boolean;
  /** Each connection may have met another one. */
  readonly varies?: boolean | undefined;
  /** The service whose single address was asked who is behind it. */
  readonly vip?: Service | undefined;
}

export interface Resolution {
  readonly peers: Peers;
  readonly local: Certainty;
  readonly remote: Certainty;
  readonly joined: boolean;
  readonly heldByUse: readonly Workload[];
  /**
   * The client's socket shows an address that may be translated on the way, and who is behind it differs from one
   * connection to the next: a service with several workloads or pods, or a port of this node.
   */
  readonly backendVaries: boolean;
}

const NO_WORKLOADS: readonly Workload[] = [];

const NEVER: End = { certainty: 'never' };
const UNSURE: End = { certainty: 'unsure' };

export interface ResolverParts extends LocalEndParts {
  readonly directory: Directory;
  readonly nodeAddresses: NodeAddresses;
  readonly index: EntryIndex;
}

export class Resolver {
  readonly #parts: ResolverParts;
  readonly #mayComeToKnow: boolean;

  constructor(parts: ResolverParts) {
    this.#parts = parts;
    this.#mayComeToKnow = parts.sources.some((source) => source.namesRemoteEnds);
  }

  resolve(entry: Entry, question: Question): Resolution {
    const { pair } = entry;
    const isClient = pair.role === 'source';
    const local = this.#local(pair, question);
    const remote = this.#remote(entry, question, isClient ? local.workload?.namespace : undefined);
    const source = isClient ? local : remote;
    const destination = isClient ? remote : local;
    return {
      peers: {
        reporter: pair.role,
        source: source.workload,
        destination: destination.workload,
        service: this.#service(pair, destination, source.workload?.namespace),
        securityPolicy: securityPolicy(pair, local.holder, remote.holder),
        container: local.container,
      },
      local: local.certainty,
      remote: remote.certainty,
      joined: remote.via === 'join',
      backendVaries: remote.varies === true,
      heldByUse: heldByUse(local, remote),
    };
  }

  /** Who had this address at that time, if anybody knows now. */
  holder(address: Address, atMs: number): Holder | undefined {
    for (const source of this.#parts.sources) {
      const holder = source.shelf.byAddress(address, atMs);
      if (holder) return holder;
      source.wants?.(address);
      if (source.namesRemoteEnds && !source.shelf.synced) return undefined;
    }
    return undefined;
  }

  /** Source after source; a source without state is waited for, not passed over. */
  #local(pair: Pair, question: Question): End {
    if (pair.kind === 'unattributed') return NEVER;
    const end = new LocalEnd(this.#parts, pair, question);
    const { container } = end;
    for (const source of this.#parts.sources) {
      const holder = end.holder(source);
      if (holder === 'unsure') return UNSURE;
      if (holder) {
        const container = end.containerOf(holder);
        return { certainty: 'known', workload: holder.workload, holder, container, via: 'directory' };
      }
      source.wants?.(pair.localAddress);
      if (!source.shelf.synced && !question.force) return UNSURE;
      const workload = source.byProcess?.(pair);
      if (workload) return { certainty: 'known', workload, container, via: 'process', heldByUse: true };
    }
    return { certainty: this.#mayComeToKnow ? 'absent' : 'never', container };
  }

  /** By address, then by the other view if that end is on this node too, then by what all endpoints of a VIP share. */
  #remote(entry: Entry, question: Question, clientNamespace: string | undefined): End {
    const { pair } = entry;
    if (pair.kind !== 'pair') return NEVER;
    const isClient = pair.role === 'source';
    for (const source of this.#parts.sources) {
      const holder = source.shelf.byAddress(pair.remoteAddress, question.atMs);
      if (holder) return { certainty: 'known', workload: holder.workload, holder, via: 'directory' };
      source.wants?.(pair.remoteAddress);
      if (pair.dialledAddress !== NO_ADDRESS) source.wants?.(pair.dialledAddress);
      if (source.namesRemoteEnds && !source.shelf.synced && !question.force) return { ...UNSURE, varies: isClient };
    }
    const joined = this.#join(entry, question);
    if (joined?.certainty === 'known') return joined;
    const behind = isClient ? this.#behindVip(pair, clientNamespace) : undefined;
    if (behind?.certainty === 'known') return behind;
    const varies = behind ? behind.varies : isClient && this.#isOwnPort(pair);
    if (!question.force && (joined ? joined === UNSURE : this.#mayBeJoined(entry))) return { ...UNSURE, varies };
    if (behind) return behind;
    if (joined) return NEVER;
    return { certainty: this.#mayComeToKnow ? 'absent' : 'never', varies };
  }

  /** A port of this node that may be a service's (NodePort) or a container's (published). */
  #isOwnPort({ remoteAddress }: Pair): boolean {
    return !isLoopback(remoteAddress) && this.#parts.nodeAddresses.has(remoteAddress);
  }

  /**
   * The same-node join: the local end of the other view, if all views that may be it have the same one. Client ports
   * are in no pair, so two programs that talk to one server from one address cannot be told apart there: `never`.
   * undefined: no view says anything.
   */
  #join(entry: Entry, question: Question): End | undefined {
    let end: End | undefined;
    let several = false;
    let unsure = false;
    for (const other of this.#parts.index.mirrors(entry)) {
      if (other.renewed || other.source.pair(other.pair.slot, other.pair.generation) === undefined) continue;
      const theirs = this.#endOf(other, question);
      if (theirs.workload) {
        several ||= end !== undefined && end.workload !== theirs.workload;
        end = theirs;
      } else unsure ||= theirs.certainty !== 'never';
    }
    if (several) return NEVER;
    if (unsure && !question.force) return UNSURE;
    return end && { ...end, certainty: 'known', via: 'join' };
  }

  /** Whether another view may come to name the remote end. That one which named it is over says nothing new about it. */
  #mayBeJoined({ joined, pair: { remoteAddress } }: Entry): boolean {
    return joined || this.#parts.index.hasLocal(remoteAddress) || this.#parts.nodeAddresses.has(remoteAddress);
  }

  /** The local end of another entry: by its labels where it has them, so that both views say the same. */
  #endOf(other: Entry, question: Question): End {
    const answer = this.#local(other.pair, { atMs: question.atMs && other.createdMs, force: question.force });
    if (!other.peers) return answer;
    const workload = localEnd(other.peers);
    if (workload === answer.workload) return answer;
    return workload ? { certainty: 'known', workload, heldByUse: other.heldByUse.includes(workload) } : NEVER;
  }

  /** Who is behind a dialled VIP. Several workloads behind it: each connection may have met another, so nobody. */
  #behindVip(pair: Pair, clientNamespace: string | undefined): End | undefined {
    const { remoteAddress: address, servicePort: port } = pair;
    for (const { shelf } of this.#parts.sources) {
      const { network, services } = shelf;
      const exact = services.byAddress(network, address, clientNamespace, port);
      const service = exact ?? services.byPrefix(network, address, clientNamespace, port);
      if (!service) continue;
      const { workload, varies } = services.backing(service, port);
      const vip = exact?.service;
      return workload ? { certainty: 'known', workload, via: 'endpoints', varies, vip } : { ...NEVER, varies, vip };
    }
    return undefined;
  }

  /** The service that was dialled: by exact VIP, by the server's target port, by the longest prefix. One rule for both ends. */
  #service(pair: Pair, server: End, clientNamespace: string | undefined): Service | undefined {
    if (server.vip && pair.dialledAddress === NO_ADDRESS) return server.vip;
    const { address, port } = dialled(pair);
    if (address !== NO_ADDRESS) {
      for (const { shelf } of this.#parts.sources) {
        const exact = shelf.services.byAddress(shelf.network, address, clientNamespace, port);
        if (exact) return exact.service;
      }
    }
    const { holder } = server;
    if (holder) return holder.backed.byTargetPort(pair.servicePort);
    if (address === NO_ADDRESS) return undefined;
    for (const { shelf } of this.#parts.sources) {
      const covering = shelf.services.byPrefix(shelf.network, address, clientNamespace, port);
      if (covering) return covering.service;
    }
    return undefined;
  }
}

function heldByUse(one: End, other: End): readonly Workload[] {
  if (!one.heldByUse && !other.heldByUse) return NO_WORKLOADS;
  return [one, other].flatMap((end) => (end.heldByUse && end.workload ? [end.workload] : []));
}

/** Where the service was asked for: what the application dialled, else the server's own address. */
function dialled(pair: Pair): { readonly address: Address; readonly port: number } {
  if (pair.dialledAddress !== NO_ADDRESS) return { address: pair.dialledAddress, port: pair.dialledPort };
  return { address: pair.role === 'source' ? pair.remoteAddress : pair.localAddress, port: pair.servicePort };
}
