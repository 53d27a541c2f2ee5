/**
 * CPU of a log record on its way out by OTLP over HTTP: encoding, batching, sending, for ours and for the SDK's path
 * (Logger, BatchLogRecordProcessor, OTLPLogExporter over protobuf).
 *
 * Method: records come in batches of 500, one a turn of the event loop, as a busy drain brings them; a sink in a process
 * of its own answers 200 and counts bytes. Per round each way runs once, in turns; CPU time of the whole process (user
 * and system, threads that compress included) until the last record is delivered; medians. The SDK's queue is made large
 * enough to lose nothing. Not measured: TLS, gRPC, a peer that is slow.
 *
 *     node bench/run.mjs otlp-logs
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { CompressionAlgorithm } from '@opentelemetry/otlp-exporter-base';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import type { Component, Host, Pipeline, Settings } from '../src/collector/component.ts';
import { LogEncoder } from '../src/exporters/otlp/log-encoder.ts';
import { resourceAttributes } from '../src/exporters/otlp/resource.ts';
import { type OtlpHttpConfig, otlpHttpExporter } from '../src/exporters/otlp-http/index.ts';
import type { IdentifiedRecords, Peers, Workload } from '../src/identity/types.ts';
import type { ConnectionRecord, PairSource } from '../src/receiver/types.ts';
import {
  accessLogFields,
  connectionAttributes,
  type FieldSink,
  flowAttributes,
  LOG_EVENTS,
  pairAttributes,
} from '../src/semconv/log-record.ts';
import { type Figure, median, tell } from './support/figures.ts';

const ROUNDS = 9;
const BATCHES = 80;
const BATCH = 500;
const RECORDS = BATCHES * BATCH;
const PAIRS = 200;
const VERSION = '0.0.0';

type Compression = 'none' | 'gzip';

const source: PairSource = {
  pair: () => undefined,
  renew: () => undefined,
  remember: () => undefined,
  recall: () => undefined,
  wallClock: (ns) => ({ seconds: 1_795_450_579 + Math.floor(ns / 1e9), nanos: ns % 1e9 }),
  bootId: '0123456789abcdef0123456789abcdef',
};

function workload(name: string): Workload {
  return {
    name,
    namespace: 'bookinfo',
    podName: `${name}-7c9f6d8b5-abcde`,
    podUid: 'b7f5c1a2-9c7f-4b52-8f3e-2f4f6d9f1a11',
    containerId: 'c'.repeat(64),
    canonicalService: name,
    canonicalRevision: 'v1',
    principal: `spiffe://cluster.local/ns/bookinfo/sa/${name}`,
    cluster: 'Kubernetes',
    region: undefined,
    zone: undefined,
    node: undefined,
    goneSinceMs: undefined,
  };
}

const pairs: readonly Peers[] = Array.from({ length: PAIRS }, (_, i) => ({
  reporter: i % 2 === 0 ? 'source' : 'destination',
  source: workload(`productpage-v${i}`),
  destination: workload('reviews-v1'),
  service: { hostname: 'reviews.bookinfo.svc.cluster.local', name: 'reviews', namespace: 'bookinfo' },
  securityPolicy: 'unknown',
}));

function record(i: number): ConnectionRecord {
  const pair = i % PAIRS;
  const role = pairs[pair]!.reporter;
  const client = { address: `10.244.1.${pair}`, port: 30_000 + (i % 30_000) };
  const server = { address: '10.244.2.7', port: 9080 };
  const [local, remote] = role === 'source' ? [client, server] : [server, client];
  const openedNs = 1e9 + i * 50_000;
  return {
    event: 'close',
    connectionId: String(1_000_000 + i),
    slot: pair,
    generation: 1,
    role,
    localAddress: local.address,
    localPort: local.port,
    remoteAddress: remote.address,
    remotePort: remote.port,
    dialledPort: 0,
    adopted: false,
    timeNs: openedNs + 2_300_456,
    openedNs,
    establishedNs: openedNs + 100_000,
    bytesSent: 239 + i,
    bytesReceived: 76 * i,
    closeReason: 'normal',
    errno: 0,
    errorType: undefined,
    smoothedRttUs: 120 + (i % 50),
    minRttUs: 80,
    retransmits: 0,
    lost: 0,
    segmentsSent: 6,
    segmentsReceived: 5,
    pid: 4242,
    executable: 'python3',
  };
}

const batches: readonly IdentifiedRecords[] = Array.from({ length: BATCHES }, (_, b) => {
  const records = Array.from({ length: BATCH }, (_, i) => record(b * BATCH + i));
  return { records, peers: records.map(({ slot }) => pairs[slot]!), source };
});

/** A peer that takes everything, in a process of its own. */
const SINK = `
  const server = require('node:http').createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end());
  });
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
`;

async function startSink(): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(process.execPath, ['-e', SINK], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = await new Promise<string>((resolve) => child.stdout!.setEncoding('utf8').once('data', resolve));
  return { child, url: `http://127.0.0.1:${port.trim()}` };
}

function settings(sent: (records: number) => void): Settings {
  const log = (message: string) => console.error(message);
  return {
    id: 'otlp_http',
    logger: { debug: log, info: log, warn: log, error: log },
    version: VERSION,
    telemetry: {
      counter: ({ name }) => ({
        add: (value) => {
          if (name === 'tcpledger_export_sent_records') sent(value);
          else if (value > 0) throw new Error(`${name} rose by ${value}`);
        },
      }),
      histogram: () => ({ record: () => undefined }),
      observe: () => () => undefined,
      collect: () => [],
    },
  };
}

const host: Host = {
  extension: (): Component | undefined => undefined,
  setReady: () => undefined,
  notReady: () => new Map(),
  fail: (error) => {
    throw error;
  },
};

const pipeline: Pipeline = { id: 'logs', signal: 'logs', shared: (_, create) => create() };

async function ours(url: string, compression: Compression): Promise<void> {
  let sent = 0;
  const defaults = otlpHttpExporter.schema.parse(undefined, '', (path, _, message) => {
    throw new Error(`${path} ${message}`);
  });
  const config: OtlpHttpConfig = { ...defaults, endpoint: url, compression };
  const exporter = otlpHttpExporter.create(
    settings((records) => {
      sent += records;
    }),
    config,
  );
  const consumer = exporter.logs!(pipeline);
  await exporter.start(host);
  for (const batch of batches) {
    consumer.consume(batch);
    await nextTurn();
  }
  await exporter.shutdown(new AbortController().signal);
  if (sent !== RECORDS) throw new Error(`${sent} of ${RECORDS} records delivered`);
}

/** A class as ours is one, so that the calls in semconv see two shapes and no more. */
class AttributeObject implements FieldSink {
  readonly attributes: Record<string, string | number> = {};
  string(name: string, value: string): void {
    this.attributes[name] = value;
  }
  int(name: string, value: number): void {
    this.attributes[name] = value;
  }
  double(name: string, value: number): void {
    this.attributes[name] = value;
  }
}

async function sdk(url: string, compression: Compression): Promise<void> {
  const exporter = new OTLPLogExporter({
    url: `${url}/v1/logs`,
    compression: compression === 'gzip' ? CompressionAlgorithm.GZIP : CompressionAlgorithm.NONE,
  });
  const provider = new LoggerProvider({
    resource: resourceFromAttributes({ ...resourceAttributes(VERSION) }),
    processors: [new BatchLogRecordProcessor({ exporter, maxQueueSize: 2 * RECORDS, maxExportBatchSize: 1024 })],
  });
  const logger = provider.getLogger('tcpledger', VERSION);
  for (const { records, peers } of batches) {
    records.forEach((given, i) => {
      const { eventName, severityNumber, severityText, message } = LOG_EVENTS[given.event];
      const sink = new AttributeObject();
      accessLogFields(given, peers[i]!, sink);
      pairAttributes(peers[i]!, sink);
      flowAttributes(given, peers[i]!, sink);
      connectionAttributes(given, source.bootId, sink);
      const { attributes } = sink;
      const { seconds, nanos } = source.wallClock(given.timeNs);
      logger.emit({ timestamp: [seconds, nanos], eventName, severityNumber, severityText, body: message, attributes });
    });
    await nextTurn();
  }
  await provider.forceFlush();
  await provider.shutdown();
}

/** The encoder alone. */
async function encoding(): Promise<void> {
  const encoder = new LogEncoder(resourceAttributes(VERSION), VERSION);
  for (const { records, peers } of batches) {
    records.forEach((given, i) => {
      encoder.add(given, peers[i]!, source, 1_795_450_579_000);
    });
    encoder.take();
  }
}

/** Microseconds of CPU per record. */
async function cpuUs(run: () => Promise<void>): Promise<number> {
  const start = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / RECORDS;
}

async function main(): Promise<void> {
  const { child, url } = await startSink();
  const ways = {
    encoding,
    'ours, none': () => ours(url, 'none'),
    'sdk, none': () => sdk(url, 'none'),
    'ours, gzip': () => ours(url, 'gzip'),
    'sdk, gzip': () => sdk(url, 'gzip'),
  };
  const names = Object.keys(ways) as (keyof typeof ways)[];
  const times = new Map(names.map((name) => [name, [] as number[]]));
  for (let round = -1; round < ROUNDS; round++) {
    for (const name of names) {
      const took = await cpuUs(ways[name]);
      if (round >= 0) times.get(name)!.push(took);
    }
  }
  child.kill();
  const us = (name: keyof typeof ways) => median(times.get(name)!);
  const against = (compression: Compression): Figure => ({
    name: `the SDK's path / ours, compression ${compression}`,
    measured: us(`sdk, ${compression}`) / us(`ours, ${compression}`),
    unit: 'times',
    atLeast: 5,
    note: `${us(`ours, ${compression}`).toFixed(2)} µs and ${us(`sdk, ${compression}`).toFixed(2)} µs a record`,
  });
  tell([
    { name: 'encoding a record', measured: us('encoding'), unit: 'µs of CPU', atMost: 2.3 },
    against('none'),
    against('gzip'),
  ]);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
