/**
 * Which backend a connection met, where its pair does not say: the client's socket shows the address of a service and
 * several are behind it. A pair has no client ports, so its counters cannot be told apart by backend; a record is one
 * connection with both ports, which conntrack knows.
 *
 * Nothing is gained by the server's end on the same node: its record comes after the client's as a rule, and its socket
 * shows the backend's address, which conntrack tells at once.
 */
import type { CounterHandle } from '../../collector/telemetry.ts';
import type { ConnectionRecord } from '../../receiver/types.ts';
import { addressOf } from '../../semconv/address.ts';
import type { Clock } from '../clock.ts';
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

/**
 * How long an answer is kept back. Of connections that ended between the reading of a record and the question, with the
 * same ports, the records come within some readings of the ring (20 ms each): then whose entry it was cannot be told.
 */
export const CONFIRM_MS = 100;

export interface BackendsParts {
  readonly conntrack: Conntrack;
  readonly resolver: Resolver;
  readonly clock: Clock;
  readonly results: Readonly<Record<BackendResult, CounterHandle>>;
}

/** What was found about one record's connection. Another connection's record may still contradict it. */
export interface Finding {
  result: BackendResult;
  /** Only meant where the result is `translated`. */
  readonly server: Endpoint | undefined;
}

interface Recent {
  readonly connectionId: ConnectionRecord['connectionId'];
  readonly finding: Finding;
  readonly untilMs: number;
}

/** For one logs pipeline. */
export class Backends {
  readonly #parts: BackendsParts;
  /** By flow, in the order in which they were asked for. */
  readonly #recent = new Map<string, Recent>();
  /** A pair's labels with each of its backends in them: the same object for the same backend, as exporters want it. */
  readonly #variants = new WeakMap<Peers, WeakMap<Workload, Peers>>();

  constructor(parts: BackendsParts) {
    this.#parts = parts;
  }

  /**
   * Asks for the backend of each of these records. To be called when they come: a connection's entry is there until its
   * ports are used again. The findings hold after CONFIRM_MS.
   */
  find(records: readonly ConnectionRecord[]): Finding[] {
    const now = this.#parts.clock.now();
    for (const [key, { untilMs }] of this.#recent) {
      // Further away than that it is from before the wall clock was set back.
      if (untilMs > now && untilMs <= now + CONFIRM_MS) break;
      this.#recent.delete(key);
    }
    return this.#parts.conntrack.ask(records).map((lookup, at) => {
      const record = records[at]!;
      const finding: Finding = {
        result: resultOf(record, lookup),
        server: typeof lookup === 'string' ? undefined : lookup.server,
      };
      const key = flowKey(record);
      const before = this.#recent.get(key);
      if (before && before.connectionId !== record.connectionId) before.finding.result = 'other_connection';
      this.#recent.delete(key);
      this.#recent.set(key, { connectionId: record.connectionId, finding, untilMs: now + CONFIRM_MS });
      return finding;
    });
  }

  /**
   * The labels of a connection of which this was found, by its labelled slot: the backend's workload if somebody knows it,
   * the service that was dialled. Once for each finding.
   */
  name(entry: Entry, record: ConnectionRecord, { result, server }: Finding): Peers {
    const peers = entry.peers!;
    this.#parts.results[result].add(1);
    if (!entry.backendVaries || result !== 'translated' || !server) return peers;
    const { seconds, nanos } = entry.source.wallClock(record.openedNs);
    const holder = this.#parts.resolver.holder(addressOf(server.address), seconds * 1000 + nanos / 1e6);
    if (!holder || holder.workload === peers.destination) return peers;
    let variants = this.#variants.get(peers);
    if (!variants) {
      variants = new WeakMap();
      this.#variants.set(peers, variants);
    }
    const service = peers.service ?? holder.backed.byTargetPort(server.port);
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

function resultOf(record: ConnectionRecord, lookup: Lookup): BackendResult {
  if (typeof lookup === 'string') return lookup;
  if (!isOwnEntry(record, lookup.state)) return 'other_connection';
  const { address, port } = lookup.server;
  return address === record.remoteAddress && port === record.remotePort ? 'untranslated' : 'translated';
}
