/**
 * Which backend a connection met, where its pair does not say: the client's socket shows the address of a service and
 * several are behind it. A pair has no client ports, so its counters cannot be told apart by backend; a record is one
 * connection with both ports, which conntrack knows.
 *
 * Nothing is gained by the server's end on the same node: its record comes after the client's as a rule, and its socket
 * shows the backend's address, which conntrack tells at once.
 */
import type { CounterHandle } from '../../collector/telemetry.ts';
import type { ConnectionRecord, PairSource } from '../../receiver/types.ts';
import type { Entry } from '../entry.ts';
import type { Resolver } from '../resolver.ts';
import type { Peers, Workload } from '../types.ts';
import type { Conntrack, Lookup } from './conntrack.ts';
import type { Endpoint } from './messages.ts';
import { isOwnEntry } from './own-entry.ts';

/**
 * `translated`: led to a backend. `untranslated`: it went where it was addressed. `none`: not tracked here.
 * `other_connection`: its ports have been used again. `failed`: no answer. `unavailable`: nothing can be asked.
 */
export type BackendResult = 'translated' | 'untranslated' | 'none' | 'other_connection' | 'failed' | 'unavailable';

export interface BackendsParts {
  readonly conntrack: Conntrack;
  readonly resolver: Resolver;
  readonly results: Readonly<Record<BackendResult, CounterHandle>>;
}

export class Backends {
  readonly #parts: BackendsParts;
  /** A pair's labels with each of its backends in them: the same object for the same backend, as exporters want it. */
  readonly #variants = new WeakMap<Peers, WeakMap<Workload, Peers>>();

  constructor(parts: BackendsParts) {
    this.#parts = parts;
  }

  /**
   * The backend of each of these records, undefined where it cannot be told. To be asked when a record comes: its
   * connection's entry is there until the ports are used again.
   */
  find(records: readonly ConnectionRecord[]): (Endpoint | undefined)[] {
    const { conntrack, results } = this.#parts;
    const last = lastOfEach(records);
    return conntrack.ask(records).map((lookup, at) => {
      const record = records[at]!;
      const result = resultOf(record, lookup, last.get(flowKey(record)) === record.connectionId);
      results[result].add(1);
      return result === 'translated' ? (lookup as { server: Endpoint }).server : undefined;
    });
  }

  /** The labels of a connection that met this backend: its workload if somebody knows it, the service that was dialled. */
  name(peers: Peers, record: ConnectionRecord, backend: Endpoint, source: PairSource): Peers {
    const { seconds, nanos } = source.wallClock(record.openedNs);
    const holder = this.#parts.resolver.holder(backend.address, seconds * 1000 + nanos / 1e6);
    if (!holder || holder.workload === peers.destination) return peers;
    let variants = this.#variants.get(peers);
    if (!variants) {
      variants = new WeakMap();
      this.#variants.set(peers, variants);
    }
    const service = peers.service ?? holder.shelf.services.byTargetPort(holder, backend.port)?.service;
    const known = variants.get(holder.workload);
    if (known && known.service === service) return known;
    const named: Peers = { ...peers, destination: holder.workload, service };
    variants.set(holder.workload, named);
    return named;
  }
}

/** Whether one connection of this pair may have met another backend than the pair says or will say. */
export const isToBeFound = (entry: Entry, { localPort, localAddress }: ConnectionRecord): boolean =>
  entry.backendVaries && localPort !== 0 && localAddress !== '';

const flowKey = ({ localAddress, localPort, remoteAddress, remotePort }: ConnectionRecord): string =>
  `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;

/** Of records with the same ports the last connection's: an entry is that one's, if any's. */
function lastOfEach(records: readonly ConnectionRecord[]): ReadonlyMap<string, ConnectionRecord['connectionId']> {
  return new Map(records.map((record) => [flowKey(record), record.connectionId]));
}

function resultOf(record: ConnectionRecord, lookup: Lookup, isLast: boolean): BackendResult {
  if (typeof lookup === 'string') return lookup;
  if (!isLast || !isOwnEntry(record, lookup.state)) return 'other_connection';
  const { address, port } = lookup.server;
  return address === record.remoteAddress && port === record.remotePort ? 'untranslated' : 'translated';
}
