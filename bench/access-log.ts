/**
 * CPU of the access_log exporter per record, batches of 500 as a busy drain brings them, written to a file.
 *
 * Method: one process; the formats and the reference in turns; CPU time of the whole process (user and system, the
 * thread pool's writes included); medians. The reference does the same work the plain way: an object of the record's
 * fields, JSON.stringify, one stream write a line. Not measured: disks that are slower than the page cache.
 *
 *     node bench/run.mjs access-log
 */
import { once } from 'node:events';
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Host, Settings } from '../src/collector/component.ts';
import { accessLogExporter } from '../src/exporters/access-log/exporter.ts';
import type { IdentifiedRecords, Peers, Workload } from '../src/identity/types.ts';
import type { ConnectionRecord, PairSource } from '../src/receiver/types.ts';
import { accessLogFields, connectionId, LOG_EVENTS } from '../src/semconv/log-record.ts';
import { median } from './support/figures.ts';

const ROUNDS = 9;
const BATCHES = 200;
const BATCH = 500;
const PAIRS = 100;

const BOOT_S = 1_795_450_579;
const source: PairSource = {
  pair: () => undefined,
  renew: () => undefined,
  remember: () => undefined,
  recall: () => undefined,
  wallClock: (ns) => ({ seconds: BOOT_S + Math.floor(ns / 1e9), nanos: ns % 1e9 }),
  bootId: '0123456789abcdef0123456789abcdef',
};

function workload(name: string, namespace: string): Workload {
  return {
    name,
    namespace,
    podName: `${name}-7c9f6d8b5-abcde`,
    podUid: undefined,
    containerId: undefined,
    canonicalService: name,
    canonicalRevision: 'v1',
    principal: undefined,
    cluster: 'Kubernetes',
    region: undefined,
    zone: undefined,
    node: undefined,
    goneSinceMs: undefined,
  };
}

const peers: readonly Peers[] = Array.from({ length: PAIRS }, (_, i) => ({
  reporter: 'source',
  source: workload(`productpage-v${i}`, 'bookinfo'),
  destination: workload('reviews-v1', 'bookinfo'),
  service: { hostname: 'reviews.bookinfo.svc.cluster.local', name: 'reviews', namespace: 'bookinfo' },
  securityPolicy: 'unknown',
}));

const record = (i: number): ConnectionRecord => ({
  event: 'close',
  connectionId: String(7_777_777 * (i + 1)),
  slot: i % PAIRS,
  generation: 1,
  role: 'source',
  localAddress: `10.244.0.${i % 250}`,
  localPort: 20_000 + i,
  remoteAddress: '10.244.1.7',
  remotePort: 9080,
  dialledPort: 0,
  adopted: false,
  timeNs: 21_000_000 + i * 40_000,
  openedNs: i * 40_000,
  establishedNs: i * 40_000 + 500_000,
  bytesSent: 239,
  bytesReceived: 76_000,
  closeReason: 'normal',
  errno: 0,
  errorType: undefined,
  smoothedRttUs: 250,
  minRttUs: 100,
  retransmits: 0,
  lost: 0,
  segmentsSent: 9,
  segmentsReceived: 60,
  pid: 4321,
  executable: 'python3',
});

const batch: IdentifiedRecords = {
  records: Array.from({ length: BATCH }, (_, i) => record(i)),
  peers: Array.from({ length: BATCH }, (_, i) => peers[i % PAIRS]!),
  source,
};

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const fail = (error: Error): never => {
  throw error;
};
const host: Host = { extension: () => undefined, setReady: () => undefined, notReady: () => new Map(), fail };

async function exporterRun(format: 'text' | 'json', output: string): Promise<void> {
  const nothing = () => undefined;
  const settings: Settings = {
    id: 'access_log',
    version: 'bench',
    logger: { debug: nothing, info: nothing, warn: console.warn, error: console.error },
    telemetry: {
      counter: () => ({ add: (lines) => fail(new Error(`${lines} lines were dropped`)) }),
      histogram: () => ({ record: nothing }),
      observe: () => nothing,
      collect: () => [],
    },
  };
  const exporter = accessLogExporter.create(settings, { format, output });
  await exporter.start(host);
  const consumer = exporter.logs!({ id: 'logs', signal: 'logs', shared: (_key, create) => create() });
  for (let i = 0; i < BATCHES; i++) {
    consumer.consume(batch);
    await turn();
  }
  await exporter.shutdown(new AbortController().signal);
}

async function referenceRun(output: string): Promise<void> {
  const file = createWriteStream(output);
  for (let i = 0; i < BATCHES; i++) {
    batch.records.forEach((given, k) => {
      const { level, message } = LOG_EVENTS[given.event];
      const { seconds, nanos } = source.wallClock(given.timeNs);
      const time = new Date(seconds * 1000 + nanos / 1e6).toISOString();
      const line: Record<string, string | number> = { level, time, scope: 'access', message };
      const set = (name: string, value: string | number) => {
        line[name] = value;
      };
      accessLogFields(given, batch.peers[k]!, { string: set, int: set, double: set });
      set('tcpledger.connection.id', connectionId(source.bootId, given));
      file.write(`${JSON.stringify(line)}\n`);
    });
    await turn();
  }
  file.end();
  await once(file, 'close');
}

/** Microseconds of CPU per record. */
async function cpuUs(run: () => Promise<void>): Promise<number> {
  const start = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / (BATCHES * BATCH);
}

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-access-log-'));
  const ways = {
    text: () => exporterRun('text', join(directory, 'text.log')),
    json: () => exporterRun('json', join(directory, 'json.log')),
    reference: () => referenceRun(join(directory, 'reference.log')),
  };
  const times = { text: [] as number[], json: [] as number[], reference: [] as number[] };
  for (let round = -1; round < ROUNDS; round++) {
    for (const way of ['text', 'json', 'reference'] as const) {
      const took = await cpuUs(ways[way]);
      if (round >= 0) times[way].push(took);
      for (const name of ['text', 'json', 'reference']) rmSync(join(directory, `${name}.log`), { force: true });
    }
  }
  rmSync(directory, { recursive: true });
  const reference = median(times.reference);
  console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}, CPU per record, medians of ${ROUNDS}`);
  for (const way of ['text', 'json'] as const) {
    const us = median(times[way]);
    console.log(`${way}: ${us.toFixed(2)} µs, ${(reference / us).toFixed(1)} times less than the reference`);
  }
  console.log(`reference: ${reference.toFixed(2)} µs`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
