/** What is set in the object before it is loaded: the sizes of its maps and its constants (`const volatile` in bpf/). */
import { HISTOGRAM_BUCKETS, PAIR_HISTOGRAMS } from '../semconv/pair-fields.ts';
import type { Layout } from './btf.ts';
import { possibleCpus } from './cpus.ts';
import type { Libbpf, Pointer } from './libbpf.ts';

interface Sizes {
  readonly maxPairs: number;
  readonly maxConnections: number;
  readonly ringBytes: number;
}

export function setSizes(libbpf: Libbpf, object: Pointer, { maxPairs, maxConnections, ringBytes }: Sizes): void {
  const set = (name: string, entries: number) => libbpf.setMaxEntries(libbpf.map(object, name), entries);
  for (const name of ['index', 'slots', 'spare', 'spare_coarse']) set(name, maxPairs);
  set('sockets', socketBuckets(maxConnections));
  set('conns', socketBuckets(maxConnections) * BUCKET_PLACES);
  set('records', ringBytes);
}

/** `BUCKET_PLACES` in bpf/conns.h. */
const BUCKET_PLACES = 16;

/** A power of two; with `maxConnections` open, four to eight of a bucket's 15 sockets are there on average. */
const socketBuckets = (maxConnections: number): number =>
  2 ** Math.ceil(Math.log2(maxConnections / (BUCKET_PLACES / 2)));

interface Constants {
  readonly maxPairs: number;
  readonly maxConnections: number;
  /** First slot of the coarse part. */
  readonly coarseBase: number;
  readonly loopback: boolean;
}

export function setConstants(
  libbpf: Libbpf,
  object: Pointer,
  rodata: Layout,
  { maxPairs, maxConnections, coarseBase, loopback }: Constants,
): void {
  const values = libbpf.initialValue(libbpf.map(object, '.rodata'));
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
  view.setUint32(rodata.offset('slot_count'), maxPairs, true);
  view.setUint32(rodata.offset('coarse_base'), coarseBase, true);
  view.setUint32(rodata.offset('bucket_mask'), socketBuckets(maxConnections) - 1, true);
  view.setUint8(rodata.offset('count_loopback'), loopback ? 1 : 0);
  view.setUint32(rodata.offset('cpus'), possibleCpus(), true);
  view.setBigUint64(rodata.offset('id_base'), BigInt(Math.floor(libbpf.bootTimeNs())) << 2n, true);
  const bounds = rodata.offset('histogram_bounds');
  PAIR_HISTOGRAMS.forEach((histogram, h) => {
    histogram.bounds.forEach((bound, i) => {
      view.setBigUint64(bounds + (h * HISTOGRAM_BUCKETS + i) * 8, BigInt(Math.round(bound * 1e9)), true);
    });
  });
}
