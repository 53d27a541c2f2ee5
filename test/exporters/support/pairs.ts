/** Workloads, peers and batches as the receiver and the identity processor hand them on. */
import type { IdentifiedPairs, Peers, Service, Workload } from '../../../src/identity/types.ts';
import type { PairSource } from '../../../src/receiver/types.ts';
import {
  CONNECT_ERRORS,
  counterColumn,
  errorColumn,
  histogramColumn,
  PAIR_COUNTERS,
  PAIR_HISTOGRAMS,
  PAIR_STRIDE,
  type PairField,
} from '../../../src/semconv/pair-fields.ts';

export function workload(name: string, rest: Partial<Workload> = {}): Workload {
  return {
    name,
    namespace: 'default',
    podName: `${name}-5d4b-fghij`,
    podUid: undefined,
    containerId: undefined,
    canonicalService: name,
    canonicalRevision: 'v1',
    principal: `spiffe://cluster.local/ns/default/sa/${name}`,
    cluster: 'Kubernetes',
    region: 'eu-1',
    zone: 'eu-1a',
    node: undefined,
    goneSinceMs: undefined,
    ...rest,
  };
}

export const SERVER_SERVICE: Service = {
  hostname: 'server.default.svc.cluster.local',
  name: 'server',
  namespace: 'default',
};

/** client → server, named throughout, in plaintext. */
export function peers(rest: Partial<Peers> = {}): Peers {
  return {
    reporter: 'source',
    source: workload('client'),
    destination: workload('server'),
    service: SERVER_SERVICE,
    securityPolicy: 'unknown',
    ...rest,
  };
}

export const NOBODY: Omit<Peers, 'reporter'> = {
  source: undefined,
  destination: undefined,
  service: undefined,
  securityPolicy: 'unknown',
};

/** A slot's differences; of a histogram the count of one observation in the first bucket and its sum in nanoseconds. */
export type Counts = Partial<Record<PairField, number>>;

export interface Row {
  readonly slot: number;
  readonly generation?: number;
  readonly peers: Peers;
  readonly counts: Counts;
}

/** The batch row of these counts, PAIR_STRIDE values. */
export function values(counts: Counts): Float64Array {
  const row = new Float64Array(PAIR_STRIDE);
  for (const name of PAIR_COUNTERS) row[counterColumn(name)] = counts[name] ?? 0;
  for (const name of CONNECT_ERRORS) row[errorColumn(name)] = counts[name] ?? 0;
  for (const { name } of PAIR_HISTOGRAMS) {
    const sum = counts[name];
    if (sum === undefined) continue;
    row[histogramColumn(name)] = 1;
    row[histogramColumn(name) + 16] = sum;
  }
  return row;
}

/** Answers nothing: the series table only tells sources apart. */
export function pairSource(): PairSource {
  return {
    pair: () => undefined,
    renew: () => {},
    remember: () => {},
    recall: () => undefined,
    wallClock: () => ({ seconds: 0, nanos: 0 }),
    bootId: '0'.repeat(32),
  };
}

const SOURCE = pairSource();

export function batch(
  rows: readonly Row[],
  rest: Partial<IdentifiedPairs> & { source?: PairSource } = {},
): IdentifiedPairs {
  const { source = SOURCE, ...pairs } = rest;
  const all = new Float64Array(rows.length * PAIR_STRIDE);
  rows.forEach((row, i) => {
    all.set(values(row.counts), i * PAIR_STRIDE);
  });
  return {
    batch: {
      count: rows.length,
      slot: Uint32Array.from(rows, (row) => row.slot),
      generation: Uint32Array.from(rows, (row) => row.generation ?? 1),
      values: all,
      stride: PAIR_STRIDE,
      timeNs: 0,
      source,
    },
    peers: rows.map((row) => row.peers),
    ...pairs,
  };
}
