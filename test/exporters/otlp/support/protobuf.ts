/** OTLP messages through an implementation that is not ours: protobufjs over the published field numbers. */
import { join } from 'node:path';
import protobuf from 'protobufjs';

const root = protobuf.loadSync(join(import.meta.dirname, 'otlp.proto'));

/** As plain objects: 64-bit integers as decimal strings, bytes as base64, defaults filled in, oneofs named. */
// biome-ignore lint/suspicious/noExplicitAny: the shapes are those of otlp.proto
export function decode(type: string, bytes: Uint8Array): any {
  const message = root.lookupType(type);
  return message.toObject(message.decode(bytes), {
    longs: String,
    bytes: String,
    defaults: true,
    arrays: true,
    oneofs: true,
  });
}

export function encode(type: string, value: Record<string, unknown>): Buffer {
  const message = root.lookupType(type);
  return Buffer.from(message.encode(message.fromObject(value)).finish());
}

export interface DecodedValue {
  readonly stringValue?: string;
  readonly intValue?: string;
  readonly doubleValue?: number;
}

interface DecodedKeyValue {
  readonly key: string;
  readonly value: DecodedValue;
}

/** key → value; throws when a key comes twice, which OTLP forbids. */
export function attributesOf(list: readonly DecodedKeyValue[]): Record<string, string | number | bigint> {
  const attributes: Record<string, string | number | bigint> = {};
  for (const { key, value } of list) {
    if (key in attributes) throw new Error(`Attribute ${key} twice`);
    attributes[key] = plain(value);
  }
  return attributes;
}

/** Integers as BigInt, so that they differ from doubles. */
function plain({ stringValue, intValue, doubleValue }: DecodedValue): string | number | bigint {
  if (intValue !== undefined) return BigInt(intValue);
  if (doubleValue !== undefined) return doubleValue;
  if (stringValue !== undefined) return stringValue;
  throw new Error('An attribute of a type that is never sent');
}

export interface DecodedLog {
  readonly timeUnixNano: string;
  readonly observedTimeUnixNano: string;
  readonly severityNumber: number;
  readonly severityText: string;
  readonly body: DecodedValue;
  readonly eventName: string;
  readonly attributes: readonly DecodedKeyValue[];
}

/** Every record of an ExportLogsServiceRequest. */
export function logsOf(request: Uint8Array): DecodedLog[] {
  const { resourceLogs } = decode('ExportLogsServiceRequest', request);
  // biome-ignore lint/suspicious/noExplicitAny: as above
  return resourceLogs.flatMap((r: any) => r.scopeLogs.flatMap((s: any) => s.logRecords));
}
