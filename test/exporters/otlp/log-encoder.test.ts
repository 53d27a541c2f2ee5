/** The encoder against the SDK: the same records through a LoggerProvider and the SDK's serializer, both decoded. */
import { ProtobufLogsSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { LoggerProvider, type ReadableLogRecord } from '@opentelemetry/sdk-logs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LogEncoder } from '../../../src/exporters/otlp/log-encoder.ts';
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
import { attributesOf, decode, logsOf } from './support/protobuf.ts';
import { anyPeers, anyRecord, BOOT_ID, peers, record, source, wallClockNanos } from './support/records.ts';

const RESOURCE = { 'service.name': 'tcpledger', 'service.version': '1.2.3', 'host.name': 'näme' };
const OBSERVED_MS = 1_716_000_123_456;

type Item = readonly [ConnectionRecord, Peers];

function encodeOurs(items: readonly Item[]): Buffer {
  const encoder = new LogEncoder(RESOURCE, '1.2.3');
  for (const [connection, ends] of items) encoder.add(connection, ends, source, OBSERVED_MS);
  return encoder.take();
}

function encodeWithSdk(items: readonly Item[]): Uint8Array {
  const emitted: ReadableLogRecord[] = [];
  const provider = new LoggerProvider({
    resource: resourceFromAttributes(RESOURCE),
    logRecordLimits: { attributeCountLimit: 1000 },
    processors: [
      { onEmit: (logRecord) => emitted.push(logRecord), forceFlush: async () => {}, shutdown: async () => {} },
    ],
  });
  const logger = provider.getLogger('tcpledger', '1.2.3');
  for (const [connection, ends] of items) {
    const { eventName, severityNumber, severityText, message } = LOG_EVENTS[connection.event];
    const { seconds, nanos } = source.wallClock(connection.timeNs);
    logger.emit({
      timestamp: [seconds, nanos],
      observedTimestamp: [Math.floor(OBSERVED_MS / 1000), (OBSERVED_MS % 1000) * 1e6],
      eventName,
      severityNumber,
      severityText,
      body: message,
      attributes: plainAttributes(connection, ends),
    });
  }
  return ProtobufLogsSerializer.serializeRequest(emitted)!;
}

function plainAttributes(connection: ConnectionRecord, ends: Peers): Record<string, string | number> {
  const attributes: Record<string, string | number> = {};
  const set = (name: string, value: string | number) => {
    attributes[name] = value;
  };
  const sink: FieldSink = { string: set, int: set, double: set };
  accessLogFields(connection, ends, sink);
  pairAttributes(ends, sink);
  flowAttributes(connection, ends, sink);
  connectionAttributes(connection, BOOT_ID, sink);
  return attributes;
}

/** The SDK knows one type of number and sends 2.0 as an integer; ours keeps a double a double. */
const asOneType = (attributes: Record<string, string | number | bigint>) =>
  Object.fromEntries(
    Object.entries(attributes).map(([key, value]) => [key, typeof value === 'bigint' ? Number(value) : value]),
  );

/** Resource, scope and records, with attributes as maps: their order means nothing. */
function comparable(request: Uint8Array) {
  const { resourceLogs } = decode('ExportLogsServiceRequest', request);
  return resourceLogs.map(({ resource, scopeLogs }: ReturnType<typeof decode>) => ({
    resource: attributesOf(resource.attributes),
    scopes: scopeLogs.map(({ scope, logRecords }: ReturnType<typeof decode>) => ({
      scope: [scope.name, scope.version],
      records: logRecords.map((log: ReturnType<typeof decode>) => ({
        ...log,
        attributes: asOneType(attributesOf(log.attributes)),
      })),
    })),
  }));
}

describe('LogEncoder', () => {
  it('says what the SDK says, for any record', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyRecord, anyPeers), { minLength: 1, maxLength: 5 }), (items) => {
        expect(comparable(encodeOurs(items))).toEqual(comparable(encodeWithSdk(items)));
      }),
      { numRuns: 500 },
    );
  });

  it('says what the SDK says for many records of one pair, whose addresses may change', () => {
    fc.assert(
      fc.property(fc.array(anyRecord, { minLength: 2, maxLength: 10 }), anyPeers, (records, ends) => {
        const items = records.map((connection): Item => [connection, ends]);
        expect(comparable(encodeOurs(items))).toEqual(comparable(encodeWithSdk(items)));
      }),
    );
  });

  it('gives times, severities, names and types to the letter', () => {
    const [log] = logsOf(encodeOurs([[record({ bytesSent: 2 ** 53 - 1, timeNs: 9_000_000_000_000_001 }), peers()]]));
    expect(log).toMatchObject({
      timeUnixNano: String(wallClockNanos(9_000_000_000_000_001)),
      observedTimeUnixNano: '1716000123456000000',
      severityNumber: 9,
      severityText: 'INFO',
      body: { stringValue: 'connection complete' },
      eventName: 'tcpledger.tcp.connection.close',
    });
    expect(attributesOf(log!.attributes)).toMatchObject({
      'src.addr': '10.244.0.10:47667',
      'dst.addr': '10.244.0.7:8080',
      bytes_sent: 9_007_199_254_740_991n,
      'server.address': 'server.shop.svc.cluster.local',
      'server.port': 8080n,
      'tcpledger.connection.id': `${BOOT_ID}-17`,
      'tcpledger.connect.duration': 0.0001,
    });
  });

  it('keeps a whole number of seconds a double', () => {
    const [log] = logsOf(encodeOurs([[record({ openedNs: 1e9, timeNs: 3e9 }), peers()]]));
    expect(attributesOf(log!.attributes)['tcpledger.duration']).toBe(2);
  });

  it('begins anew after each request', () => {
    const encoder = new LogEncoder(RESOURCE, '1.2.3');
    const ids = [1, 2].map((id) => {
      encoder.add(record({ connectionId: String(id) }), peers(), source, OBSERVED_MS);
      expect(encoder.count).toBe(1);
      const logs = logsOf(encoder.take());
      expect([encoder.count, encoder.size]).toEqual([0, 0]);
      return logs.map((log) => attributesOf(log.attributes)['tcpledger.connection.id']);
    });
    expect(ids).toEqual([[`${BOOT_ID}-1`], [`${BOOT_ID}-2`]]);
  });
});
