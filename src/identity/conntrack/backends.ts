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
import { addressOf } from '../../semconv/address.ts';
import { type Clock, fromWall } from '../clock.ts';
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
  readonly connectionId: ConnectionRecord['connectionId'];
  readonly event: ConnectionRecord['event'];
  result: BackendResult;
  /** Only meant where the result is `translated`. */
  readonly server: Endpoint | undefined;
  /** It is in the metrics. */
  counted: boolean;
}

interface Recent {
  readonly finding: Finding;
  readonly untilMs: number;
}

/** For all logs pipelines of a processor: they get the same records, and each record is asked about once. */
export class Backends {
  readonly #parts: BackendsParts;
  /** A receiver may use a record's object again. */
  readonly #findings = new WeakMap<ConnectionRecord, Finding>();
  /** By receiver and flow, in the order in which they were asked for: two receivers tell of one connection by two ids. */
  readonly #recent = new WeakMap<PairSource, Map<string, Recent>>();
  /** A pair's labels with each of its backends in them: the same object for the same backend, as exporters want it. */
  readonly #variants = new WeakMap<Peers, WeakMap<Workload, Peers>>();

  constructor(parts: BackendsParts) {
    this.#parts = parts;
  }

  /**
   * Asks for the backend of each of these records. To be called when they come: a connection's entry is there until its
   * ports are used again. The findings hold after CONFIRM_MS.
   */
  find(records: readonly ConnectionRecord[], source: PairSource): Finding[] {
    const unasked = records.filter((record) => !isAbout(this.#findings.get(record), record));
    const recent = this.#recentOf(source);
    const untilMs = this.#parts.clock.now() + CONFIRM_MS;
    this.#parts.conntrack.ask(unasked).forEach((lookup, at) => {
      const record = unasked[at]!;
      const finding = findingOf(record, lookup);
      this.#findings.set(record, finding);
      const key = flowKey(record);
      const before = recent.get(key)?.finding;
      if (before && before.connectionId !== record.connectionId) before.result = 'other_connection';
      recent.delete(key);
      recent.set(key, { finding, untilMs });
    });
    return records.map((record) => this.#findings.get(record)!);
  }

  /**
   * The labels of a connection of which this was found, by its labelled slot: the backend's workload if somebody knows it,
   * the service that was dialled. For whoever has found it, once that holds.
   */
  name(entry: Entry, record: ConnectionRecord, finding: Finding): Peers {
    const peers = entry.peers!;
    const { result, server } = finding;
    if (!finding.counted) this.#parts.results[result].add(1);
    finding.counted = true;
    if (!entry.backendVaries || result !== 'translated' || !server) return peers;
    const { seconds, nanos } = entry.source.wallClock(record.openedNs);
    const openedMs = fromWall(this.#parts.clock, seconds * 1000 + nanos / 1e6);
    const holder = this.#parts.resolver.holder(addressOf(server.address), openedMs);
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

  /** Those that another connection's record may still contradict. */
  #recentOf(source: PairSource): Map<string, Recent> {
    let recent = this.#recent.get(source);
    if (!recent) {
      recent = new Map();
      this.#recent.set(source, recent);
    }
    const now = this.#parts.clock.now();
    for (const [key, { untilMs }] of recent) {
      if (untilMs > now) break;
      recent.delete(key);
    }
    return recent;
  }
}

/** Whether one connection of this pair may have met another backend than the pair says or will say. */
export const isToBeFound = (entry: Entry, { localPort, localAddress }: ConnectionRecord): boolean =>
  entry.backendVaries && localPort !== 0 && localAddress !== '';

const flowKey = ({ localAddress, localPort, remoteAddress, remotePort }: ConnectionRecord): string =>
  `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;

const isAbout = (finding: Finding | undefined, { connectionId, event }: ConnectionRecord): boolean =>
  finding?.connectionId === connectionId && finding.event === event;

function findingOf(record: ConnectionRecord, lookup: Lookup): Finding {
  const { connectionId, event } = record;
  const server = typeof lookup === 'string' ? undefined : lookup.server;
  return { connectionId, event, result: resultOf(record, lookup), server, counted: false };
}

function resultOf(record: ConnectionRecord, lookup: Lookup): BackendResult {
  if (typeof lookup === 'string') return lookup;
  if (!isOwnEntry(record, lookup.state)) return 'other_connection';
  const { address, port } = lookup.server;
  return address === record.remoteAddress && port === record.remotePort ? 'untranslated' : 'translated';
}
