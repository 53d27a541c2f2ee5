/**
 * The metrics page of 40,000 lines against the stock serializer, and what an update of the series table costs.
 *
 * Method: one process, so that noise of the machine meets both; the two ways in turns (stock, chunked, stock, …), each
 * run after a warm-up; medians, but for the longest block of the event loop, which is the longest of all rounds. Garbage
 * is collected when it is: a forced collection makes V8 forget its optimised code, and what follows would run cold. "Made": bytes in memory, nothing sent. "Over a socket": a reader in a process of its own
 * on the loopback asks, from the request to the last byte, while the event loop of the serving process is watched.
 * The stock way is PrometheusSerializer over the same table, sent in one piece, as its package's server does.
 * Not measured: compression, readers over a real network.
 *
 *     node bench/run.mjs page
 */
import { Buffer } from 'node:buffer';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpus } from 'node:os';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { Host, Pipeline, Settings } from '../src/collector/component.ts';
import { createStockPage, nodeTotalsProducer, seriesTableProducer } from '../src/exporters/otel-metrics-adapter.ts';
import { PrometheusPageExporter } from '../src/exporters/prometheus/exporter.ts';
import { pageChunks } from '../src/exporters/prometheus/page.ts';
import { PageBuffer } from '../src/exporters/prometheus/page-buffer.ts';
import { SeriesTable } from '../src/exporters/series-table.ts';
import type { IdentifiedPairs, Peers, Workload } from '../src/identity/types.ts';
import {
  CONNECT_ERRORS,
  counterColumn,
  errorColumn,
  HISTOGRAM_BUCKETS,
  histogramColumn,
  PAIR_HISTOGRAMS,
  PAIR_STRIDE,
} from '../src/semconv/pair-fields.ts';
import { median } from './support/figures.ts';

const ROUNDS = 9;
const LINES = 40_000;

/** Pairs of distinct workloads: each a row of both sets, 81 lines. */
const MIXED_PAIRS = Math.ceil(LINES / 81);
/** Pairs that differ in labels of Istio's set alone: each a row of 4 long lines, and one row of the other set. */
const ISTIO_PAIRS = LINES / 4;

function workload(name: string, canonicalRevision: string): Workload {
  return {
    name,
    namespace: 'bookinfo',
    podName: `${name}-7c9f6d8b5-abcde`,
    podUid: undefined,
    containerId: undefined,
    canonicalService: name,
    canonicalRevision,
    principal: `spiffe://cluster.local/ns/bookinfo/sa/bookinfo-${name}`,
    cluster: 'Kubernetes',
    region: 'europe-west4',
    zone: 'europe-west4-a',
    node: undefined,
    goneSinceMs: undefined,
  };
}

/** No failures and resets: their series are not shown before the first. */
const SILENT = [counterColumn('failed'), counterColumn('resets_sent'), counterColumn('resets_received')].concat(
  CONNECT_ERRORS.map(errorColumn),
);

/** Small counts and large ones, as a table that has run for a while has them. */
function longRun(row: Float64Array): void {
  for (let i = 0; i < row.length; i++) row[i] = (i % 3 === 0 ? 1 : 1_234_567) * (i % 97);
  for (const column of SILENT) row[column] = 0;
}

/** A connection that came and went between two sweeps. */
function oneConnection(row: Float64Array): void {
  for (const name of ['opened', 'closed', 'sent', 'received', 'segments_sent', 'segments_received'] as const) {
    row[counterColumn(name)] = 1;
  }
  for (const { name } of PAIR_HISTOGRAMS) {
    row[histogramColumn(name) + 5] = 1;
    row[histogramColumn(name) + HISTOGRAM_BUCKETS] = 2_000_000;
  }
}

function batchOf(pairs: number, peersOf: (i: number) => Peers, fill: (row: Float64Array) => void): IdentifiedPairs {
  const values = new Float64Array(pairs * PAIR_STRIDE);
  for (let i = 0; i < pairs; i++) fill(values.subarray(i * PAIR_STRIDE, (i + 1) * PAIR_STRIDE));
  const unused = () => undefined;
  const source = {
    pair: unused,
    renew: unused,
    remember: unused,
    recall: unused,
    wallClock: () => ({ seconds: 0, nanos: 0 }),
    bootId: '',
  };
  return {
    batch: {
      count: pairs,
      slot: Uint32Array.from({ length: pairs }, (_, i) => i),
      generation: new Uint32Array(pairs).fill(1),
      values,
      stride: PAIR_STRIDE,
      timeNs: 0,
      source,
    },
    peers: Array.from({ length: pairs }, (_, i) => peersOf(i)),
  };
}

const peersWith = (source: Workload): Peers => ({
  reporter: 'source',
  source,
  destination: workload('reviews-v1', 'v1'),
  service: { hostname: 'reviews.bookinfo.svc.cluster.local', name: 'reviews', namespace: 'bookinfo' },
  securityPolicy: 'unknown',
});

const namedApart = (i: number): Peers => peersWith(workload(`productpage-v${i}`, 'v1'));
const MIXED = batchOf(MIXED_PAIRS, namedApart, longRun);
const ISTIO_ONLY = batchOf(ISTIO_PAIRS, (i) => peersWith(workload('productpage', `v${i}`)), longRun);

function tableOf(pairs: IdentifiedPairs): SeriesTable {
  const table = new SeriesTable({ version: 'bench' });
  table.consume(pairs);
  return table;
}

async function main(): Promise<void> {
  const rows: string[][] = [];
  for (const [name, pairs] of [
    ['both sets', MIXED],
    ['Istio set', ISTIO_ONLY],
  ] as const) {
    const made = await compareMade(tableOf(pairs));
    const shape = `${name}, ${made.lines} lines, ${(made.bytes / 1e6).toFixed(0)} MB`;
    rows.push([`page made (${shape}): stock`, ms(made.stockMs), '']);
    rows.push([`page made (${shape}): chunked`, ms(made.chunkedMs), '']);
    rows.push(['  times faster', (made.stockMs / made.chunkedMs).toFixed(1), '≥ 15']);
    const sent = await compareSent(pairs);
    rows.push([
      `page over a socket (${name}): stock`,
      `${ms(sent.stock.ms)}, longest block ${ms(sent.stock.blockMs)}`,
      '',
    ]);
    rows.push([`page over a socket (${name}): chunked`, ms(sent.chunked.ms), '']);
    rows.push(['  times faster', (sent.stock.ms / sent.chunked.ms).toFixed(1), '']);
    rows.push(['  longest block of the event loop', ms(sent.chunked.blockMs), '≤ 40 ms']);
  }
  rows.push(['update of a known slot, one connection', `${updateNs(oneConnection).toFixed(0)} ns`, '']);
  rows.push(['update of a known slot, every column', `${updateNs(longRun).toFixed(0)} ns`, '']);
  console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}, medians of ${ROUNDS}`);
  const width = Math.max(...rows.map(([figure]) => figure!.length));
  for (const [figure, measured, required] of [['figure', 'measured', 'required'], ...rows]) {
    console.log(`${figure!.padEnd(width)}  ${measured!.padEnd(32)}  ${required}`);
  }
}

async function compareMade(table: SeriesTable) {
  const stock = createStockPage([seriesTableProducer(table)]);
  const rest = createStockPage([nodeTotalsProducer(table)]);
  const chunked = async (): Promise<number> => {
    let bytes = 0;
    const text = await rest();
    for (const chunk of pageChunks(table.snapshot(), text, 'text', new PageBuffer(256 * 1024))) bytes += chunk.length;
    return bytes;
  };
  const whole = async (): Promise<number> => Buffer.from(await stock()).length;
  const [bytes, stockBytes] = [await chunked(), await whole()];
  if (bytes !== stockBytes) throw new Error(`The pages differ: ${bytes} and ${stockBytes} bytes`);
  const times = { stock: [] as number[], chunked: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    times.stock.push(await timed(whole));
    times.chunked.push(await timed(chunked));
  }
  const lines = (await stock()).split('\n').filter((line) => line !== '' && !line.startsWith('#')).length;
  return { stockMs: median(times.stock), chunkedMs: median(times.chunked), bytes, lines };
}

async function compareSent(pairs: IdentifiedPairs) {
  const table = tableOf(pairs);
  const stockPage = createStockPage([seriesTableProducer(table)]);
  const stockServer = createServer((_request, response) => {
    stockPage().then((text) => response.end(text));
  }).listen(0, '127.0.0.1');
  await once(stockServer, 'listening');
  const exporter = pageExporter();
  exporter.metrics(PIPELINE).consume(pairs);
  await exporter.start(HOST);
  const reader = spawn(process.execPath, ['-e', READER], { stdio: ['pipe', 'pipe', 'inherit'] });
  const stockUrl = `http://127.0.0.1:${(stockServer.address() as AddressInfo).port}/metrics`;
  const chunkedUrl = `http://${exporter.addresses[0]}/metrics`;
  const results = { stock: [] as Sent[], chunked: [] as Sent[] };
  for (let round = -1; round < ROUNDS; round++) {
    const stock = await fetchBy(reader, stockUrl);
    const chunked = await fetchBy(reader, chunkedUrl);
    if (round < 0) continue;
    results.stock.push(stock);
    results.chunked.push(chunked);
  }
  reader.stdin!.end();
  stockServer.close();
  await exporter.shutdown(AbortSignal.abort());
  const of = (all: readonly Sent[]): Sent => ({
    ms: median(all.map((sent) => sent.ms)),
    blockMs: Math.max(...all.map((sent) => sent.blockMs)),
  });
  return { stock: of(results.stock), chunked: of(results.chunked) };
}

interface Sent {
  readonly ms: number;
  /** Longest delay of the serving process' event loop meanwhile. */
  readonly blockMs: number;
}

/** Fetches each URL that comes in, and answers with the milliseconds it took. */
const READER = `
  const http = require('node:http');
  require('node:readline').createInterface({ input: process.stdin }).on('line', (url) => {
    const start = performance.now();
    http.get(url, { agent: false }, (response) => {
      response.on('data', () => {});
      response.on('end', () => console.log(performance.now() - start));
    });
  });`;

async function fetchBy(reader: ChildProcess, url: string): Promise<Sent> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  reader.stdin!.write(`${url}\n`);
  const [took] = await once(reader.stdout!, 'data');
  delay.disable();
  return { ms: Number(String(took)), blockMs: delay.max / 1e6 };
}

/** A batch row of a slot that is known, into both sets and the node's totals. */
function updateNs(fill: (row: Float64Array) => void): number {
  const pairs = batchOf(MIXED_PAIRS, namedApart, fill);
  const table = tableOf(pairs);
  const times: number[] = [];
  for (let round = 0; round < 200; round++) {
    const start = performance.now();
    table.consume(pairs);
    times.push(performance.now() - start);
  }
  return (median(times.slice(100)) * 1e6) / MIXED_PAIRS;
}

const PIPELINE: Pipeline = { id: 'metrics', signal: 'metrics', shared: (_key, create) => create() };

const HOST: Host = {
  extension: () => undefined,
  setReady: () => {},
  notReady: () => new Map(),
  fail: (error) => {
    throw error;
  },
};

function pageExporter(): PrometheusPageExporter {
  const quiet = () => {};
  const settings: Settings = {
    id: 'prometheus',
    version: 'bench',
    logger: { debug: quiet, info: quiet, warn: console.warn, error: console.error },
    telemetry: {
      counter: () => ({ add: quiet }),
      histogram: () => ({ record: quiet }),
      observe: () => quiet,
      collect: () => [],
    },
  };
  return new PrometheusPageExporter(settings, { endpoint: { host: '127.0.0.1', port: 0 } });
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

const ms = (value: number): string => `${value.toFixed(1)} ms`;

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
