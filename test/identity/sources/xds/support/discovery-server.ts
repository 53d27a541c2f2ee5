/** A control plane in this process that says what a test tells it to, over a gRPC implementation that is not ours. */
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { decode, encode } from './protobuf.ts';

export const DELTA_METHOD = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';

export interface DeltaRequest {
  readonly node?: {
    readonly id: string;
    readonly metadata: { readonly fields: Record<string, { stringValue: string }> };
  };
  readonly typeUrl: string;
  readonly resourceNamesSubscribe: string[];
  readonly resourceNamesUnsubscribe: string[];
  readonly initialResourceVersions: Record<string, string>;
  readonly responseNonce: string;
  readonly errorDetail: { readonly code: number; readonly message: string } | null;
}

/** One stream of one client. */
export class ServerStream {
  readonly requests: DeltaRequest[] = [];
  readonly metadata: Metadata;
  ended = false;
  readonly #call: ServerDuplexStream<Buffer, Buffer>;

  constructor(call: ServerDuplexStream<Buffer, Buffer>) {
    this.#call = call;
    this.metadata = call.metadata;
  }

  respond(response: object): void {
    this.write(encode('DeltaDiscoveryResponse', response));
  }

  /** Whatever bytes, as one message. */
  write(message: Buffer): void {
    this.#call.write(message);
  }

  end(): void {
    this.#call.end();
  }

  fail(result: Partial<StatusObject>): void {
    this.#call.emit('error', { code: status.UNKNOWN, ...result });
  }
}

export interface DiscoveryServerOptions {
  readonly credentials?: ServerCredentials;
  readonly port?: number;
  /** Called for every request after it was recorded. */
  readonly onRequest?: (stream: ServerStream, request: DeltaRequest) => void;
}

export interface DiscoveryServer {
  readonly port: number;
  /** Streams in the order of their beginnings. */
  readonly streams: ServerStream[];
  /** Drops all connections and listens no more. */
  close(): void;
}

export async function discoveryServer(options: DiscoveryServerOptions = {}): Promise<DiscoveryServer> {
  const streams: ServerStream[] = [];
  const server = new Server({ 'grpc.max_send_message_length': -1, 'grpc.max_receive_message_length': -1 });
  const asIs = (bytes: Buffer) => bytes;
  const definition = {
    path: DELTA_METHOD,
    requestStream: true,
    responseStream: true,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
  server.addService(
    { Delta: definition },
    {
      Delta(call: ServerDuplexStream<Buffer, Buffer>) {
        const stream = new ServerStream(call);
        streams.push(stream);
        call.on('data', (bytes: Buffer) => {
          const request = decode('DeltaDiscoveryRequest', bytes) as DeltaRequest;
          stream.requests.push(request);
          options.onRequest?.(stream, request);
        });
        call.on('end', () => call.end());
        call.on('cancelled', () => {
          stream.ended = true;
        });
        call.on('error', () => {
          stream.ended = true;
        });
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    const credentials = options.credentials ?? ServerCredentials.createInsecure();
    server.bindAsync(`127.0.0.1:${options.port ?? 0}`, credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return { port, streams, close: () => server.forceShutdown() };
}
