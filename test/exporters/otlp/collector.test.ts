/** Against a real Collector: every record and every point once, with all it says. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { otlpGrpcExporter } from '../../../src/exporters/otlp-grpc/index.ts';
import { otlpHttpExporter } from '../../../src/exporters/otlp-http/index.ts';
import type { Peers } from '../../../src/identity/types.ts';
import type { ConnectionRecord } from '../../../src/receiver/types.ts';
import {
  accessLogFields,
  connectionAttributes,
  type FieldSink,
  flowAttributes,
  LOG_EVENTS,
  pairAttributes,
} from '../../../src/semconv/log-record.ts';
import { type Collector, collectorMissing, startCollector } from '../../peers/collector.ts';
import { batch, peers as pairPeers, workload } from '../support/pairs.ts';
import { noDeadline, until } from './support/agent.ts';
import { createExporter, runExporter } from './support/exporter.ts';
import { BOOT_ID, peers, record, recordBatch, source, wallClockNanos } from './support/records.ts';

const missing = collectorMissing();
const skipped = missing === undefined ? '' : ` (skipped: ${missing})`;

/** Attributes as OTLP/JSON writes them: integers as decimal strings, doubles as numbers. */
type JsonValue = { stringValue: string } | { intValue: string } | { doubleValue: number };

function expectedAttributes(connection: ConnectionRecord, ends: Peers): Record<string, JsonValue> {
  const attributes: Record<string, JsonValue> = {};
  const sink: FieldSink = {
    string: (name, value) => {
      attributes[name] = { stringValue: value };
    },
    int: (name, value) => {
      attributes[name] = { intValue: String(value) };
    },
    double: (name, value) => {
      attributes[name] = { doubleValue: value };
    },
  };
  accessLogFields(connection, ends, sink);
  pairAttributes(ends, sink);
  flowAttributes(connection, ends, sink);
  connectionAttributes(connection, BOOT_ID, sink);
  return attributes;
}

function expectedRecord(connection: ConnectionRecord, ends: Peers) {
  const { eventName, severityNumber, severityText, message } = LOG_EVENTS[connection.event];
  return {
    timeUnixNano: String(wallClockNanos(connection.timeNs)),
    observedTimeUnixNano: expect.stringMatching(/^\d{19}$/),
    severityNumber,
    severityText,
    body: { stringValue: message },
    eventName,
    attributes: expectedAttributes(connection, ends),
  };
}

// biome-ignore-start lint/suspicious/noExplicitAny: OTLP/JSON as the Collector writes it
const asMap = (list: any[]) => Object.fromEntries(list.map(({ key, value }) => [key, value]));

function receivedRecords(collector: Collector): any[] {
  return collector
    .received('logs')
    .flatMap(({ resourceLogs }) => resourceLogs)
    .flatMap(({ scopeLogs }: any) => scopeLogs)
    .flatMap(({ logRecords }: any) => logRecords)
    .map((log: any) => ({ ...log, attributes: asMap(log.attributes) }));
}

const idOf = (log: any): string => log.attributes['tcpledger.connection.id'].stringValue;

/** name → points of every metric of that name, in the order of arrival. */
function receivedPoints(collector: Collector, name: string): any[] {
  return collector
    .received('metrics')
    .flatMap(({ resourceMetrics }) => resourceMetrics)
    .flatMap(({ scopeMetrics }: any) => scopeMetrics)
    .flatMap(({ metrics }: any) => metrics)
    .filter((metric: any) => metric.name === name)
    .flatMap((metric: any) => (metric.sum ?? metric.gauge ?? metric.histogram).dataPoints);
}
// biome-ignore-end lint/suspicious/noExplicitAny: OTLP/JSON as the Collector writes it

const TRANSPORTS = [
  {
    name: 'otlp_http',
    factory: otlpHttpExporter,
    config: (collector: Collector) => `{endpoint: "${collector.httpUrl}", sending_queue: {queue_size: 10000}}`,
  },
  {
    name: 'otlp_grpc',
    factory: otlpGrpcExporter,
    config: (collector: Collector) =>
      `{endpoint: "${collector.grpcAddress}", tls: {insecure: true}, sending_queue: {queue_size: 10000}}`,
  },
] as const;

describe.skipIf(missing !== undefined).each(TRANSPORTS)(
  `a Collector behind $name${skipped}`,
  ({ name, factory, config }) => {
    let collector: Collector;
    beforeAll(async () => {
      collector = await startCollector();
    }, 900_000);
    afterAll(() => collector?.stop());

    const run = (options: Parameters<typeof runExporter>[2] = {}) =>
      runExporter(factory as typeof otlpHttpExporter, config(collector), options);

    it('receives every record once, with all attributes', async () => {
      const failure = record({
        event: 'fail',
        connectionId: '1',
        errno: 111,
        errorType: 'connection_refused',
        establishedNs: 0,
      });
      const unusual: [ConnectionRecord, Peers][] = [
        [failure, peers({ destination: undefined, service: undefined })],
        [record({ event: 'open', connectionId: '2', closeReason: undefined }), peers()],
        [
          record({ connectionId: '3', role: 'destination', bytesSent: 2 ** 53 - 1, bytesReceived: 2 ** 40 }),
          peers({ reporter: 'destination', securityPolicy: 'mutual_tls' }),
        ],
        [
          record({
            connectionId: '4',
            localAddress: 'fd00::1',
            remoteAddress: 'fd00::2',
            executable: 'a "b"\n\\ ü 😀',
          }),
          peers({ source: workload('wörk\tload') }),
        ],
      ];
      const many = recordBatch(10_000, 1000);
      const agent = await run();
      agent.consumeLogs({ records: unusual.map(([one]) => one), peers: unusual.map(([, ends]) => ends), source });
      agent.consumeLogs(many);
      await agent.exporter.shutdown(noDeadline());
      expect(agent.counts('logs')).toEqual({ sent: 10_004, failed: 0, dropped: 0 });

      await until(() => receivedRecords(collector).length >= 10_004);
      const records = new Map(receivedRecords(collector).map((log) => [idOf(log), log]));
      expect(receivedRecords(collector)).toHaveLength(10_004);
      expect(records.size).toBe(10_004);
      const all = [...unusual, ...many.records.map((one, i): [ConnectionRecord, Peers] => [one, many.peers[i]!])];
      for (const [one, ends] of all) {
        expect(records.get(`${BOOT_ID}-${one.connectionId}`)).toEqual(expectedRecord(one, ends));
      }
      const [{ resourceLogs }] = collector.received('logs');
      expect(asMap(resourceLogs[0].resource.attributes)).toMatchObject({
        'service.name': { stringValue: 'tcpledger' },
        'service.version': { stringValue: '1.2.3' },
      });
      expect(resourceLogs[0].scopeLogs[0].scope).toEqual({ name: 'tcpledger', version: '1.2.3' });
    });

    it('receives the metrics, to the byte', async () => {
      const agent = await run({ metrics: true, logs: false });
      const rows = Array.from({ length: 2000 }, (_, i) => ({
        slot: i + 1,
        peers: pairPeers({ source: workload(`client-${name}-${i}`) }),
        counts: { opened: 3, closed: 2, failed: 1, sent: 2 ** 40 + i, received: i, active: 1, duration: 5e6 },
      }));
      agent.consumePairs(batch(rows));
      await agent.exporter.shutdown(noDeadline());
      const sent = agent.counts('metrics');
      expect([sent.failed, sent.dropped]).toEqual([0, 0]);

      await until(() => receivedPoints(collector, 'tcpledger_export_sent_records').length > 0);
      const received = new Map(
        receivedPoints(collector, 'istio_tcp_received_bytes').map((point) => {
          const labels = asMap(point.attributes);
          return [
            labels.source_workload.stringValue,
            [point.asInt, labels.reporter.stringValue, point.attributes.length],
          ];
        }),
      );
      expect(received.size).toBe(2000);
      rows.forEach((_, i) => {
        expect(received.get(`client-${name}-${i}`)).toEqual([String(2 ** 40 + i), 'source', 27]);
      });
      expect(receivedPoints(collector, 'istio_tcp_connections_failed')).toHaveLength(2000);
      expect(receivedPoints(collector, 'tcpledger_bytes_sent')).toMatchObject([
        { asInt: String(rows.reduce((sum, { counts }) => sum + counts.sent, 0)) },
      ]);
      const [histogram] = receivedPoints(collector, 'tcp_connection_duration_seconds');
      expect(histogram).toMatchObject({ count: '1', sum: 0.005 });
    });

    it('loses nothing when it is away for a while', async () => {
      await collector.stop();
      const agent = createExporter(
        factory as typeof otlpHttpExporter,
        config(collector).replace('{', '{retry_on_failure: {initial_interval: 20ms, max_interval: 100ms}, '),
      );
      const logs = agent.exporter.logs!({ id: 'logs', signal: 'logs', shared: (_, create) => create() });
      await agent.exporter.start(agent.host);
      logs.consume(recordBatch(3000, 500_000));
      await until(() => agent.log.length > 0);
      collector = await startCollector({ like: collector });
      await until(() => agent.counts('logs').sent === 3000);
      await agent.exporter.shutdown(noDeadline());
      await until(() => receivedRecords(collector).length >= 3000);
      expect(new Set(receivedRecords(collector).map(idOf)).size).toBe(3000);
      expect(receivedRecords(collector)).toHaveLength(3000);
    });
  },
);
