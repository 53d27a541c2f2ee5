/** The messages of a state-of-the-world stream (envoy.service.discovery.v3), as far as the client needs them. */
import type { Breather } from '../../slices.ts';
import { ProtobufReader } from '../xds/protobuf-reader.ts';
import { ProtobufWriter } from '../xds/protobuf-writer.ts';

export const ADS_METHOD = '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources';

export interface DiscoveryResponse {
  readonly version: string;
  readonly typeUrl: string;
  readonly nonce: string;
  /** Each a google.protobuf.Any, in place. */
  readonly resources: readonly Buffer[];
}

/** DiscoveryResponse { version_info = 1, resources = 2, type_url = 4, nonce = 5 }. @throws MalformedMessage */
export async function readResponse(bytes: Buffer, breathe: Breather): Promise<DiscoveryResponse> {
  const reader = new ProtobufReader(bytes);
  let version = '';
  let typeUrl = '';
  let nonce = '';
  const resources: Buffer[] = [];
  while (reader.next()) {
    if (reader.field === 1) version = reader.text();
    else if (reader.field === 2) resources.push(reader.bytes());
    else if (reader.field === 4) typeUrl = reader.text();
    else if (reader.field === 5) nonce = reader.text();
    await breathe();
  }
  return { version, typeUrl, nonce, resources };
}

export interface DiscoveryRequest {
  readonly typeUrl: string;
  /** The last version that was accepted; empty for none. */
  readonly version?: string;
  /** The encoded node, in the first request of a stream. */
  readonly node?: Buffer;
  /** Made by `encodeNames`; none of them stands for all resources. */
  readonly names?: Buffer;
  /** Of the response that this answers; empty for none. */
  readonly nonce?: string;
  /** The encoded google.rpc.Status that says why the response is refused. */
  readonly error?: Buffer;
}

/** DiscoveryRequest { version_info = 1, node = 2, resource_names = 3, type_url = 4, response_nonce = 5, error_detail = 6 }. */
export function encodeRequest({ typeUrl, version = '', node, names, nonce = '', error }: DiscoveryRequest): Buffer {
  const writer = new ProtobufWriter().text(1, version);
  if (node) writer.bytes(2, node);
  writer.text(4, typeUrl).text(5, nonce);
  if (error) writer.bytes(6, error);
  const rest = writer.finish();
  return names ? Buffer.concat([rest, names]) : rest;
}

/** The names as a part of requests: each acknowledgement says all of them again. */
export async function encodeNames(names: readonly string[], breathe: Breather): Promise<Buffer> {
  const writer = new ProtobufWriter();
  for (const name of names) {
    writer.texts(3, [name]);
    await breathe();
  }
  return writer.finish();
}
