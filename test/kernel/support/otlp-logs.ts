/**
 * A collector of log records by OTLP/HTTP (protobuf): decodes by the wire format alone, so that nothing of the
 * agent's own encoders is trusted. Field numbers: opentelemetry/proto/logs/v1/logs.proto, common/v1/common.proto.
 */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { fields, nested } from './protobuf.ts';

export interface ReceivedRecord {
  readonly eventName: string;
  readonly severityNumber: number;
  readonly body: string;
  readonly timeUnixNano: bigint;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
}

export interface OtlpCollector {
  readonly endpoint: string;
  /** All that came in since the start, in order. */
  readonly records: readonly ReceivedRecord[];
  close(): Promise<void>;
}

export async function otlpCollector(): Promise<OtlpCollector> {
  const records: ReceivedRecord[] = [];
  const server = createServer((request, response) => {
    void body(request).then((bytes) => {
      if (request.url === '/v1/logs') records.push(...logRecords(bytes));
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    records,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

async function body(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const whole = Buffer.concat(parts);
  return request.headers['content-encoding'] === 'gzip' ? gunzipSync(whole) : whole;
}

/** ExportLogsServiceRequest → resource_logs 1 → scope_logs 2 → log_records 2 */
function logRecords(request: Buffer): ReceivedRecord[] {
  return nested(request, 1).flatMap((resource) =>
    nested(resource, 2).flatMap((scope) => nested(scope, 2).map(logRecord)),
  );
}

function logRecord(bytes: Buffer): ReceivedRecord {
  const found = fields(bytes);
  const attributes: Record<string, string | number | boolean> = {};
  for (const entry of nested(bytes, 6)) {
    const key = nested(entry, 1)[0]!.toString();
    if (key in attributes) throw new Error(`attribute ${key} twice in a record`);
    attributes[key] = anyValue(nested(entry, 2)[0]!);
  }
  return {
    eventName: nested(bytes, 12)[0]?.toString() ?? '',
    severityNumber: Number(found.find((f) => f.number === 2)?.value ?? 0),
    body: String(anyValue(nested(bytes, 5)[0] ?? Buffer.of(10, 0))),
    timeUnixNano: (found.find((f) => f.number === 1)?.value as bigint | undefined) ?? 0n,
    attributes,
  };
}

/** AnyValue: string 1, bool 2, int 3, double 4; the only kinds that these records may have. */
function anyValue(bytes: Buffer): string | number | boolean {
  const [field] = fields(bytes);
  if (field?.number === 1) return (field.value as Buffer).toString();
  if (field?.number === 2) return field.value !== 0n;
  if (field?.number === 3) return Number(BigInt.asIntN(64, field.value as bigint));
  if (field?.number === 4) {
    const view = Buffer.alloc(8);
    view.writeBigUInt64LE(field.value as bigint);
    return view.readDoubleLE();
  }
  throw new Error(`an attribute's value of kind ${field?.number}`);
}
