/**
 * Encodes connection records as an OTLP ExportLogsServiceRequest, straight to protobuf. What the records of a pair share
 * is encoded once and copied; per record there remain the times, the id, the client's port and the figures.
 *
 * Message shapes: opentelemetry-proto, logs/v1/logs.proto (field numbers beside each write).
 */
import type { Peers } from '../../identity/types.ts';
import type { ConnectionRecord, PairSource } from '../../receiver/types.ts';
import {
  CONNECTION_ID,
  clientAddressStem,
  clientPort,
  connectionId,
  connectionIdStem,
  destinationFields,
  figureAttributes,
  flowAttributes,
  habitAttributes,
  LOG_EVENTS,
  type LogEvent,
  outcomeFields,
  pairAttributes,
  sameHabits,
  serverAddress,
  sourceFields,
} from '../../semconv/log-record.ts';
import { AttributeWriter, type NumberedAttribute } from './attribute-writer.ts';
import { ProtobufWriter, tag, WIRE_BYTES, WIRE_FIXED64, WIRE_VARINT } from './protobuf-writer.ts';
import { type ResourceAttributes, SCOPE_NAME } from './resource.ts';

/** LogRecord.attributes = 6 */
const ATTRIBUTES = 6;

const TIME_UNIX_NANO = tag(1, WIRE_FIXED64);
const OBSERVED_TIME_UNIX_NANO = tag(11, WIRE_FIXED64);
/** Bytes of a nested message's tag and length. */
const LONGEST_OPENING = 9;
const NOTHING = Buffer.alloc(0);

/** ScopeLogs.log_records */
const LOG_RECORDS = tag(2, WIRE_BYTES);

/** What the records of a pair share. A coarse pair's remote address changes, so the ends are part of the key. */
interface PairPart {
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly servicePort: number;
  readonly dialledPort: number;
  readonly attributes: Buffer;
  /** `src.addr`; undefined when the client's address is not known. */
  readonly client: NumberedAttribute | undefined;
  /** The record whose event and habits were encoded last, and they behind the attributes. */
  like: ConnectionRecord | undefined;
  shared: Buffer;
}

/** The ids of one boot. */
interface Ids {
  readonly bootId: string;
  readonly attribute: NumberedAttribute;
}

export class LogEncoder {
  readonly #writer = new ProtobufWriter();
  readonly #attributes = new AttributeWriter(this.#writer, ATTRIBUTES);
  readonly #scratch = new ProtobufWriter(2048);
  readonly #scratchAttributes = new AttributeWriter(this.#scratch, ATTRIBUTES);
  readonly #pairs = new WeakMap<Peers, PairPart>();
  readonly #eventParts: Readonly<Record<LogEvent, Buffer>>;
  readonly #resource: Buffer;
  readonly #scope: Buffer;
  /** Kept free in front of the records, for what stands before them. */
  readonly #headRoom: number;
  #ids: Ids | undefined;
  #count = 0;

  constructor(resource: ResourceAttributes, version: string) {
    this.#resource = encodeResource(resource);
    this.#scope = encodeScope(version);
    this.#eventParts = { open: encodeEvent('open'), close: encodeEvent('close'), fail: encodeEvent('fail') };
    this.#headRoom = 2 * LONGEST_OPENING + this.#resource.length + this.#scope.length;
    this.#writer.skip(this.#headRoom);
  }

  /** Records added since the last `take`. */
  get count(): number {
    return this.#count;
  }

  /** Their bytes. */
  get size(): number {
    return this.#writer.length - this.#headRoom;
  }

  /** `observedMs`: wall-clock milliseconds at which the batch was read. */
  add(record: ConnectionRecord, peers: Peers, source: PairSource, observedMs: number): void {
    const writer = this.#writer;
    const attributes = this.#attributes;
    const pair = this.#pairPart(record, peers);
    if (pair.like === undefined || !sameHabits(pair.like, record)) this.#share(pair, record);
    writer.byte(LOG_RECORDS);
    const start = writer.begin();
    writer.raw(pair.shared);
    const { seconds, nanos } = source.wallClock(record.timeNs);
    writer.byte(TIME_UNIX_NANO);
    writer.timeNanos(seconds, nanos);
    const observedSeconds = Math.floor(observedMs / 1000);
    writer.byte(OBSERVED_TIME_UNIX_NANO);
    writer.timeNanos(observedSeconds, (observedMs - observedSeconds * 1000) * 1_000_000);
    pair.client?.write(clientPort(record));
    if (typeof record.connectionId === 'number') this.#idsOf(source.bootId).write(record.connectionId);
    else attributes.string(CONNECTION_ID, connectionId(source.bootId, record));
    outcomeFields(record, attributes);
    figureAttributes(record, attributes);
    writer.end(start);
    this.#count++;
  }

  /** The request with every record added since the last call. It stands in memory that the next `add` uses again. */
  take(): Buffer {
    // ExportLogsServiceRequest { resource_logs = 1 { resource = 1, scope_logs = 2 { scope = 1, log_records = 2 … } } }
    const scopeLogs = nested(2, this.#scope.length + this.size);
    const resourceLogs = nested(1, this.#resource.length + scopeLogs.length + this.#scope.length + this.size);
    const head = Buffer.concat([resourceLogs, this.#resource, scopeLogs, this.#scope]);
    const request = this.#writer.view(this.#headRoom - head.length);
    request.set(head);
    this.#writer.truncate(this.#headRoom);
    this.#count = 0;
    return request;
  }

  #pairPart(record: ConnectionRecord, peers: Peers): PairPart {
    const known = this.#pairs.get(peers);
    const servicePort = record.role === 'source' ? record.remotePort : record.localPort;
    if (
      known !== undefined &&
      known.servicePort === servicePort &&
      known.dialledPort === record.dialledPort &&
      known.remoteAddress === record.remoteAddress &&
      known.localAddress === record.localAddress
    ) {
      return known;
    }
    const attributes = this.#scratchAttributes;
    this.#scratch.truncate(0);
    sourceFields(peers, attributes);
    const server = serverAddress(record);
    if (server !== '') attributes.string('dst.addr', server);
    destinationFields(peers, attributes);
    flowAttributes(record, peers, attributes);
    pairAttributes(peers, attributes);
    const { localAddress, remoteAddress, dialledPort } = record;
    const client = clientAddressStem(record);
    const part: PairPart = {
      localAddress,
      remoteAddress,
      servicePort,
      dialledPort,
      attributes: this.#scratch.copy(),
      client: client === '' ? undefined : this.#attributes.numbered('src.addr', client),
      like: undefined,
      shared: NOTHING,
    };
    this.#pairs.set(peers, part);
    return part;
  }

  /** Encodes what the record and the next ones of its pair are likely to have in common. */
  #share(pair: PairPart, record: ConnectionRecord): void {
    this.#scratch.truncate(0);
    this.#scratch.raw(this.#eventParts[record.event]);
    this.#scratch.raw(pair.attributes);
    habitAttributes(record, this.#scratchAttributes);
    pair.shared = this.#scratch.copy();
    pair.like = record;
  }

  #idsOf(bootId: string): NumberedAttribute {
    if (this.#ids?.bootId !== bootId) {
      this.#ids = { bootId, attribute: this.#attributes.numbered(CONNECTION_ID, connectionIdStem(bootId)) };
    }
    return this.#ids.attribute;
  }
}

/** The opening of a nested message: tag and length. */
function nested(field: number, length: number): Buffer {
  const writer = new ProtobufWriter(16);
  writer.byte(tag(field, WIRE_BYTES));
  writer.varint(length);
  return writer.copy();
}

/** ResourceLogs.resource = 1, Resource.attributes = 1 */
function encodeResource(resource: ResourceAttributes): Buffer {
  const writer = new ProtobufWriter(512);
  const attributes = new AttributeWriter(writer, 1);
  writer.byte(tag(1, WIRE_BYTES));
  const start = writer.begin();
  for (const [name, value] of Object.entries(resource)) attributes.string(name, value);
  writer.end(start);
  return writer.copy();
}

/** ScopeLogs.scope = 1, InstrumentationScope { name = 1, version = 2 } */
function encodeScope(version: string): Buffer {
  const writer = new ProtobufWriter(64);
  writer.byte(tag(1, WIRE_BYTES));
  const start = writer.begin();
  writer.byte(tag(1, WIRE_BYTES));
  writer.string(SCOPE_NAME);
  writer.byte(tag(2, WIRE_BYTES));
  writer.string(version);
  writer.end(start);
  return writer.copy();
}

/** severity_number = 2, severity_text = 3, body = 5 { string_value = 1 }, event_name = 12 */
function encodeEvent(event: LogEvent): Buffer {
  const { severityNumber, severityText, message, eventName } = LOG_EVENTS[event];
  const writer = new ProtobufWriter(128);
  writer.byte(tag(2, WIRE_VARINT));
  writer.varint(severityNumber);
  writer.byte(tag(3, WIRE_BYTES));
  writer.string(severityText);
  writer.byte(tag(5, WIRE_BYTES));
  const body = writer.begin();
  writer.byte(tag(1, WIRE_BYTES));
  writer.string(message);
  writer.end(body);
  writer.byte(tag(12, WIRE_BYTES));
  writer.string(eventName);
  return writer.copy();
}
