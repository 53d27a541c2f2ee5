/** Delta discovery, the incremental kind of ADS: what is asked, and the envelope of what is answered. */
import { breathe } from '../../slices.ts';
import { encodeErrorDetail, type RejectedResource, rejectionText } from '../xds/error-detail.ts';
import { FieldSplitter, type SplitField } from '../xds/field-splitter.ts';
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

const EVERYTHING = '*';

/**
 * node 1, type_url 2, resource_names_subscribe 3, resource_names_unsubscribe 4, initial_resource_versions 5 (a map).
 * Encoded in slices: there may be tens of thousands of names.
 */
export async function encodeFirstRequest({ typeUrl, node, subscribe, known }: FirstRequest): Promise<Buffer> {
  const writer = new ProtobufWriter().bytes(1, node).text(2, typeUrl);
  // A request without names asks for everything: to ask for nothing yet is to ask for it and to take it back.
  if (subscribe !== undefined) writer.texts(3, [EVERYTHING, ...subscribe]).texts(4, [EVERYTHING]);
  const entry = new ProtobufWriter();
  for (const [name, version] of known) {
    writer.bytes(5, entry.clear().text(1, name).text(2, version).finish());
    const pause = breathe();
    if (pause) await pause;
  }
  return writer.finish();
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

/** What a response says beside its resources: type_url 4, nonce 5, removed_resources 6 (resources are 2). */
export class ResponseEnvelope {
  typeUrl = '';
  nonce = '';
  readonly removed: string[] = [];

  take({ number, bytes, start, end }: SplitField): void {
    if (number === 4) this.typeUrl = bytes.toString('utf8', start, end);
    else if (number === 5) this.nonce = bytes.toString('utf8', start, end);
    else if (number === 6) this.removed.push(bytes.toString('utf8', start, end));
  }
}

export const RESOURCES = 2;

/** Of a response that is there as a whole. @throws MalformedMessage */
export function readEnvelope(response: Buffer): ResponseEnvelope {
  const envelope = new ResponseEnvelope();
  const fields = new FieldSplitter();
  for (const field of fields.push(response)) envelope.take(field);
  fields.finish();
  return envelope;
}

/** Reads Resource messages (version 1, resource 2 { Any: type_url 1, value 2 }, name 3), one after the other. */
export class ResourceReader {
  /** Of the resource opened last, as far as they could be read. */
  name = '';
  version = '';
  readonly #type: Buffer;
  readonly #reader = new ProtobufReader(Buffer.alloc(0));
  #start = 0;
  #end = 0;

  constructor(typeUrl: string) {
    this.#type = Buffer.from(typeUrl);
  }

  /** Reads name and version. @throws MalformedMessage saying what is wrong with the resource. */
  open(bytes: Buffer, start: number, end: number): void {
    const reader = this.#reader.seek(bytes, start, end);
    this.name = '';
    this.version = '';
    this.#start = this.#end = end;
    while (reader.next()) {
      if (reader.field === 1) this.version = reader.text();
      else if (reader.field === 3) this.name = reader.text();
      // Looked into when the name is known, which comes behind it.
      else if (reader.field === 2) reader.range(this.#remember);
    }
    if (this.name === '') throw new MalformedMessage('it has no name');
    this.#openAny(bytes);
  }

  /** A reader that stands in the value. */
  value(): ProtobufReader {
    return this.#reader;
  }

  #openAny(bytes: Buffer): void {
    const reader = this.#reader.seek(bytes, this.#start, this.#end);
    // Without a value: nothing.
    this.#start = this.#end;
    let isType = false;
    while (reader.next()) {
      if (reader.field === 1) isType = reader.is(this.#type);
      else if (reader.field === 2) reader.range(this.#remember);
    }
    if (!isType) throw new MalformedMessage(`it is not of the type ${this.#type}`);
    reader.seek(bytes, this.#start, this.#end);
  }

  readonly #remember = (_bytes: Buffer, start: number, end: number): void => {
    this.#start = start;
    this.#end = end;
  };
}
