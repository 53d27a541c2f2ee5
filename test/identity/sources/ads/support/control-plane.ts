/**
 * A control plane that says what a test has it say: a gRPC server on loopback with one state-of-the-world method, which
 * answers as istiod does (all clusters and listeners; the endpoints and routes asked for) unless it is told otherwise.
 */
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { decode, encode, type ResourceKind, TYPE_URLS } from './envoy.ts';

export interface Request {
  readonly kind: ResourceKind;
  readonly version: string;
  readonly nonce: string;
  readonly names: readonly string[];
  /** Empty for an acknowledgement. */
  readonly error: string;
  readonly nodeId: string;
  /** Counted from 1. */
  readonly stream: number;
}

type Resources = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const KIND_BY_URL = new Map(Object.entries(TYPE_URLS).map(([kind, url]) => [url as string, kind as ResourceKind]));

/** All of these types are told whole. */
const WHOLE: ReadonlySet<ResourceKind> = new Set(['Cluster', 'Listener']);

export class ControlPlane {
  readonly requests: Request[] = [];
  /** What there is, by name. A resource given as a Buffer is an encoded Any, right or wrong. */
  readonly state: Record<ResourceKind, Record<string, Readonly<Record<string, unknown>> | Buffer>> = {
    Cluster: {},
    ClusterLoadAssignment: {},
    Listener: {},
    RouteConfiguration: {},
  };
  /** Answers of these kinds are kept back. */
  readonly silent = new Set<ResourceKind>();
  readonly #server = new Server();
  #calls = new Set<ServerDuplexStream<Buffer, Buffer>>();
  #subscribed = new Map<ResourceKind, readonly string[]>();
  #streams = 0;
  #nonce = 0;
  port = 0;

  async start(port = 0): Promise<this> {
    const asIs = (bytes: Buffer) => bytes;
    this.#server.register(
      '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
      (call: ServerDuplexStream<Buffer, Buffer>) => this.#serve(call),
      asIs,
      asIs,
      'bidi',
    );
    this.port = await new Promise((resolve, reject) => {
      this.#server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    return this;
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  /** Ends all streams, as a control plane that restarts. */
  drop(): void {
    for (const call of this.#calls) call.end();
  }

  /** Puts resources in the place of those of that kind, and tells the agent. */
  set(kind: ResourceKind, resources: Resources): void {
    this.state[kind] = { ...resources };
    this.push(kind);
  }

  /** Tells the agent some resources, or what there is of those that it asked for. */
  push(
    kind: ResourceKind,
    names: readonly string[] | undefined = WHOLE.has(kind) ? undefined : this.#subscribed.get(kind),
  ): void {
    const known = Object.entries(this.state[kind]).filter(([name]) => names?.includes(name) ?? true);
    const resources = known.map(([, fields]) =>
      Buffer.isBuffer(fields) ? fields : encode('Any', { type_url: TYPE_URLS[kind], value: encode(kind, fields) }),
    );
    this.#nonce++;
    this.write(kind, resources, `v${this.#nonce}`, `n${this.#nonce}`);
  }

  /** Sends encoded messages of type Any. */
  write(kind: ResourceKind, resources: readonly Buffer[], version: string, nonce: string): void {
    const head = encode('DiscoveryResponse', { version_info: version, type_url: TYPE_URLS[kind], nonce });
    // Field 2, written by hand since they may be no messages at all.
    const body = resources.flatMap((bytes) => [Buffer.from([0x12, ...varint(bytes.length)]), bytes]);
    this.writeBytes(Buffer.concat([head, ...body]));
  }

  writeBytes(bytes: Buffer): void {
    for (const call of this.#calls) call.write(bytes);
  }

  requestsOf(kind: ResourceKind): Request[] {
    return this.requests.filter((request) => request.kind === kind);
  }

  #serve(call: ServerDuplexStream<Buffer, Buffer>): void {
    const stream = ++this.#streams;
    this.#calls.add(call);
    this.#subscribed = new Map();
    call.on('end', () => call.end());
    call.on('close', () => this.#calls.delete(call));
    // A client that cancels its stream is no error of the server.
    call.on('error', () => this.#calls.delete(call));
    call.on('data', (bytes: Buffer) => this.#hear(bytes, stream));
  }

  #hear(bytes: Buffer, stream: number): void {
    const message = decode('DiscoveryRequest', bytes);
    const kind = KIND_BY_URL.get(message.type_url)!;
    const request: Request = {
      kind,
      version: message.version_info,
      nonce: message.response_nonce,
      names: message.resource_names,
      error: message.error_detail?.message ?? '',
      nodeId: message.node?.id ?? '',
      stream,
    };
    this.requests.push(request);
    if (request.error !== '') return;
    const before = this.#subscribed.get(kind);
    this.#subscribed.set(kind, request.names);
    const added = request.names.filter((name) => !before?.includes(name));
    const asks = before === undefined || added.length > 0;
    if (asks && !this.silent.has(kind)) this.push(kind, WHOLE.has(kind) ? undefined : added);
  }
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return [...bytes, rest];
}
