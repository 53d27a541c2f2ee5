/** Messages that several resources are made of, read in place. Field numbers are those of Envoy's API v3. */
import { canonicalAddress } from '../../../semconv/address.ts';
import { ProtobufReader } from '../xds/protobuf-reader.ts';

/** Goes through the message of the field just found: `visit` is called for each field in it. */
export function each(reader: ProtobufReader, visit: (field: number) => void): void {
  const outer = reader.enter();
  while (reader.next()) visit(reader.field);
  reader.leave(outer);
}

const NOTHING: Buffer = Buffer.alloc(0);

/** google.protobuf.Any { type_url = 1, value = 2 }. `type` is the message's full name. */
export interface TypedConfig {
  readonly type: string;
  readonly value: ProtobufReader;
}

export function readAny(message: Buffer): TypedConfig {
  const reader = new ProtobufReader(message);
  let url = '';
  let value = NOTHING;
  while (reader.next()) {
    if (reader.field === 1) url = reader.text();
    else if (reader.field === 2) value = reader.bytes();
  }
  return { type: url.slice(url.lastIndexOf('/') + 1), value: new ProtobufReader(value) };
}

/** google.protobuf.UInt32Value { value = 1 }. */
export function readWrappedNumber(reader: ProtobufReader): number {
  let value = 0;
  each(reader, (field) => {
    if (field === 1) value = reader.number();
  });
  return value;
}

/**
 * The value of a key in Metadata { map<string, Struct> filter_metadata = 1 } or in Struct { map<string, Value> fields = 1 }:
 * both are maps in field 1, whose entries have the key in 1 and the value in 2.
 */
export function mapValue(message: Buffer | undefined, key: string): Buffer | undefined {
  let found: Buffer | undefined;
  if (!message) return undefined;
  const reader = new ProtobufReader(message);
  while (reader.next()) {
    if (reader.field !== 1) continue;
    let entryKey = '';
    let value = NOTHING;
    each(reader, (field) => {
      if (field === 1) entryKey = reader.text();
      else if (field === 2) value = reader.bytes();
    });
    if (entryKey === key) found = value;
  }
  return found;
}

/** The text of google.protobuf.Value { string_value = 3 }; empty if it is another kind of value, or none. */
export function valueText(value: Buffer | undefined): string {
  let text = '';
  if (!value) return text;
  const reader = new ProtobufReader(value);
  while (reader.next()) if (reader.field === 3) text = reader.text();
  return text;
}

/** The first Struct in google.protobuf.Value { list_value = 6 { values = 1 (of Value { struct_value = 5 }) } }. */
export function firstStruct(value: Buffer | undefined): Buffer | undefined {
  let found: Buffer | undefined;
  if (!value) return undefined;
  const reader = new ProtobufReader(value);
  const readItem = (field: number) => {
    if (field === 5) found ??= reader.bytes();
  };
  const readList = (field: number) => {
    if (field === 1) each(reader, readItem);
  };
  while (reader.next()) if (reader.field === 6) each(reader, readList);
  return found;
}

export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/**
 * Address { socket_address = 1 { address = 2, port_value = 3 }, envoy_internal_address = 3 { endpoint_id = 2 } }.
 * An internal address stands for a tunnel, its id is what the tunnel leads to. undefined if it is no ip and port.
 */
export function readAddress(reader: ProtobufReader): SocketAddress | undefined {
  let text = '';
  let port = 0;
  each(reader, (kind) => {
    if (kind === 1) {
      each(reader, (field) => {
        if (field === 2) text = reader.text();
        else if (field === 3) port = reader.number();
      });
    } else if (kind === 3) {
      each(reader, (field) => {
        if (field !== 2) return;
        const parts = /^\[?(.+?)\]?:(\d{1,5})$/.exec(reader.text());
        text = parts?.[1] ?? '';
        port = Number(parts?.[2] ?? 0);
      });
    }
  });
  const address = canonicalAddress(text);
  return address !== undefined && port > 0 && port <= 65_535 ? { address, port } : undefined;
}
