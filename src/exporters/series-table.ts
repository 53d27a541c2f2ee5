/**
 * The series of a metrics pipeline: what pairs counted, summed by label set. Exporters of a pipeline share one, through
 * `sharedSeriesTable`. A counter starts at 0 when its row is made; a row that was dropped and comes back starts at 0
 * again, with a later start time, which is Prometheus' and OTLP's reset.
 */
import type { Consumer, Pipeline } from '../collector/component.ts';
import type { IdentifiedPairs, Peers } from '../identity/types.ts';
import { istioLabelValues, tcpLabelValues } from '../semconv/istio-labels.ts';
import { AGENT_METRICS, NODE_METRICS } from '../semconv/registry.ts';
import type { Family } from './family.ts';
import { NodeTotals } from './node-totals.ts';
import { ISTIO_SET, TCP_SET } from './series-layout.ts';
import { SeriesRows } from './series-rows.ts';
import { type SetSnapshot, snapshotFamilies } from './series-snapshot.ts';
import { SlotRows } from './slot-rows.ts';

/** Slot numbers are one source's own. */
type PairSource = IdentifiedPairs['batch']['source'];

/** Rows are looked over for expired ones at most this often. */
const EXPIRE_EVERY_MS = 10_000;

export interface SeriesTableOptions {
  /** Build version, for istio_build. */
  readonly version: string;
  /** Wall-clock milliseconds; the clock of Workload.goneSinceMs. */
  readonly now?: () => number;
}

export class SeriesTable implements Consumer<IdentifiedPairs> {
  /** Wall-clock milliseconds: when the node totals start. */
  readonly createdMs: number;
  readonly #version: string;
  readonly #now: () => number;
  readonly #istio = new SeriesRows(ISTIO_SET, istioLabelValues);
  readonly #tcp = new SeriesRows(TCP_SET, tcpLabelValues);
  readonly #totals = new NodeTotals();
  /** A receiver that is gone takes its slots with it. */
  readonly #slots = new WeakMap<PairSource, { istio: SlotRows; tcp: SlotRows }>();
  #ttlMs: number | undefined;
  #expiredMs: number;
  /** The last snapshot, as long as some reader has it and nothing has changed. */
  #snapshot: WeakRef<readonly SetSnapshot[]> | undefined;

  constructor(options: SeriesTableOptions) {
    this.#version = options.version;
    this.#now = options.now ?? Date.now;
    this.createdMs = this.#now();
    this.#expiredMs = this.createdMs;
  }

  consume(pairs: IdentifiedPairs): void {
    const nowMs = this.#now();
    this.#ttlMs = pairs.seriesTtlMs;
    for (const { peers, values } of pairs.restored ?? []) {
      if (!peers) this.#totals.addPast(values);
      else this.#add(peers, this.#istio.intern(peers, nowMs), this.#tcp.intern(peers, nowMs), values, 0, nowMs);
    }
    const { count, slot, generation, values, stride, source } = pairs.batch;
    const slots = this.#slotsOf(source);
    for (let i = 0; i < count; i++) {
      const peers = pairs.peers[i]!;
      let istio = slots.istio.find(slot[i]!, generation[i]!);
      if (istio === -1) {
        istio = this.#istio.intern(peers, nowMs);
        slots.istio.set(slot[i]!, generation[i]!, istio);
      }
      let tcp = slots.tcp.find(slot[i]!, generation[i]!);
      if (tcp === -1) {
        tcp = this.#tcp.intern(peers, nowMs);
        slots.tcp.set(slot[i]!, generation[i]!, tcp);
      }
      this.#add(peers, istio, tcp, values, i * stride, nowMs);
    }
    if (count > 0 || pairs.restored !== undefined) this.#snapshot = undefined;
    this.#expire(nowMs);
  }

  /** The rows as they are now, after dropping what has expired. Unchanged tables give the snapshot some reader still has. */
  snapshot(): readonly SetSnapshot[] {
    this.#expire(this.#now());
    const last = this.#snapshot?.deref();
    if (last !== undefined) return last;
    const sets = [this.#istio, this.#tcp].map((rows) => ({ layout: rows.layout, ...rows.snapshot() }));
    this.#snapshot = new WeakRef(sets);
    return sets;
  }

  /** Every family that is counted per pair. */
  pairFamilies(): Family[] {
    return snapshotFamilies(this.snapshot());
  }

  /** What is not counted per pair: node totals, open sockets, build, rows of this table. */
  nodeFamilies(): Family[] {
    return [
      {
        definition: NODE_METRICS.istioBuild,
        points: [{ labels: { component: 'tcpledger', tag: this.#version }, value: 1 }],
      },
      ...this.#totals.families(),
      {
        definition: AGENT_METRICS.seriesCount,
        points: [this.#istio, this.#tcp].map((rows) => ({ labels: { set: rows.layout.name }, value: rows.size })),
      },
    ];
  }

  #add(peers: Peers, istio: number, tcp: number, values: Float64Array, offset: number, nowMs: number): void {
    this.#istio.add(istio, peers.reporter, values, offset, nowMs);
    this.#tcp.add(tcp, peers.reporter, values, offset, nowMs);
    this.#totals.add(peers.reporter, values, offset);
  }

  #slotsOf(source: PairSource): { istio: SlotRows; tcp: SlotRows } {
    let slots = this.#slots.get(source);
    if (slots === undefined) {
      slots = { istio: new SlotRows(this.#istio), tcp: new SlotRows(this.#tcp) };
      this.#slots.set(source, slots);
    }
    return slots;
  }

  #expire(nowMs: number): void {
    if (this.#ttlMs === undefined || nowMs - this.#expiredMs < Math.min(EXPIRE_EVERY_MS, this.#ttlMs)) return;
    this.#expiredMs = nowMs;
    const sinceMs = nowMs - this.#ttlMs;
    if (this.#istio.expire(sinceMs) + this.#tcp.expire(sinceMs) > 0) this.#snapshot = undefined;
  }
}

/** The table of a pipeline: the same for each of its exporters, so the pipeline feeds it once. */
export function sharedSeriesTable(pipeline: Pipeline, version: string): SeriesTable {
  return pipeline.shared('series-table', () => new SeriesTable({ version }));
}
