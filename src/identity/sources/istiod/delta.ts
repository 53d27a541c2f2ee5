/** Delta discovery, the incremental kind of ADS: what is asked, and the envelope of what is answered. */
import { createBreather } from '../../slices.ts';
import { encodeErrorDetail, type RejectedResource, rejectionText } from '../xds/error-detail.ts';
import { MalformedMessage, ProtobufReader } from '../xds/protobuf-reader.ts';
import { ProtobufWriter } from '../xds/protobuf-writer.ts';

export const DELTA_METHOD = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';

export interface FirstRequest {
  readonly typeUrl: string;
  /** The encoded node message. */
  readonly node: Buffer;
  /** undefined: everything there is. */
  readonly subscribe: Iterable<string> | undefined;
  /** Name and version of each resource known from earlier streams. */
  readonly known: Iterable<readonly [name: string, version: string]>;
}

/**
 * What istiod takes: 4 MiB by default (ISTIO_GPRC_MAXRECVMSGSIZE), with room to spare. A longer request would end every
 * stream as soon as it began.
 */
export const LONGEST_REQUEST = 3.5 * 1024 * 1024;

const EVERYTHING = '*';

export interface EncodedFirstRequest {
  readonly request: Buffer;
  /** False where what is known had to be left out, since the request would have been too long. */
  readonly declared: boolean;
}

/**
 * node 1, type_url 2, resource_names_subscribe 3, resource_names_unsubscribe 4, initial_resource_versions 5 (a map).
 * Encoded in slices: there may be tens of thousands of names.
 */
export async function encodeFirstRequest({
  typeUrl,
  node,
  subscribe,
  known,
}: FirstRequest): Promise<EncodedFirstRequest> {
  const begin = () => {
    const writer = new ProtobufWriter().bytes(1, node).text(2, typeUrl);
    // A request without names asks for everything: to ask for nothing yet is to ask for it and to take it back.
    return subscribe === undefined ? writer : writer.texts(3, [EVERYTHING, ...subscribe]).texts(4, [EVERYTHING]);
  };
  const breathe = createBreather();
  const writer = begin();
  const entry = new ProtobufWriter();
  for (const [name, version] of known) {
    writer.bytes(5, entry.clear().text(1, name).text(2, version).finish());
    if (writer.length > LONGEST_REQUEST) return { request: begin().finish(), declared: false };
    const pause = breathe();
    if (pause) await pause;
  }
  return { request: writer.finish(), declared: true };
}

/** A change of what is subscribed to, on a stream that is open. */
export const encodeSubscribe = (typeUrl: string, names: Iterable<string>): Buffer =>
  new ProtobufWriter().text(2, typeUrl).texts(3, names).finish();

export const encodeUnsubscribe = (typeUrl: string, names: Iterable<string>): Buffer =>
  new ProtobufWriter().text(2, typeUrl).texts(4, names).finish();

/** An ACK, or a NACK where something was rejected: response_nonce 6, error_detail 7. */
export function encodeAnswer(typeUrl: string, nonce: string, rejected: readonly RejectedResource[]): Buffer {
  const writer = new ProtobufWriter().text(2, typeUrl).text(6, nonce);
  if (rejected.length > 0) writer.bytes(7, encodeErrorDetail(rejectionText(rejected)));
  return writer.finish();
}

export interface DeltaResponse {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly removed: readonly string[];
  /** Where the Resource messages lie in the response: start and end of each in turn. */
  readonly resources: readonly number[];
}

/**
 * resources 2, nonce 5, type_url 4, removed_resources 6.
 *
 * @throws MalformedMessage where the envelope itself makes no sense; the resources are not looked into.
 */
export function readResponse(bytes: Buffer): DeltaResponse {
  const reader = new ProtobufReader(bytes);
  const resources: number[] = [];
  const removed: string[] = [];
  let typeUrl = '';
  let nonce = '';
  while (reader.next()) {
    switch (reader.field) {
      case 2:
        reader.range((_bytes, start, end) => resources.push(start, end));
        break;
      case 4:
        typeUrl = reader.text();
        break;
      case 5:
        nonce = reader.text();
        break;
      case 6:
        removed.push(reader.text());
        break;
    }
  }
  return { typeUrl, nonce, removed, resources };
}

export interface DeltaResource {
  /** '' where the message breaks off before it. */
  name: string;
  version: string;
}

/**
 * Reads one Resource (version 1, resource 2, name 3) and gives a reader that stands in the value of its Any. `into` has
 * the name even when this throws, if it could be read.
 *
 * @throws MalformedMessage saying what is wrong with it.
 */
export function openResource(
  bytes: Buffer,
  start: number,
  end: number,
  typeUrl: string,
  into: DeltaResource,
): ProtobufReader {
  const reader = new ProtobufReader(bytes, start, end);
  let any: ProtobufReader | undefined;
  into.name = '';
  into.version = '';
  while (reader.next()) {
    if (reader.field === 1) into.version = reader.text();
    else if (reader.field === 3) into.name = reader.text();
    // Looked into when the name is known, which comes behind it.
    else if (reader.field === 2) any = reader.range((all, from, to) => new ProtobufReader(all, from, to));
  }
  if (into.name === '') throw new MalformedMessage('it has no name');
  if (any === undefined) throw new MalformedMessage('it is empty');
  return openAny(any, typeUrl);
}

/** Any { type_url = 1, value = 2 } */
function openAny(any: ProtobufReader, typeUrl: string): ProtobufReader {
  let type = '';
  let value = NOTHING;
  while (any.next()) {
    if (any.field === 1) type = any.text();
    else if (any.field === 2) value = any.range((all, from, to) => new ProtobufReader(all, from, to));
  }
  if (type !== typeUrl) throw new MalformedMessage(`it is of the type ${type || '(none)'}`);
  return value;
}

const NOTHING = new ProtobufReader(Buffer.alloc(0));
