/** An OTLP/gRPC receiver in this process that answers as a test tells it to. */
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type StatusObject,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { encode } from '../otlp/support/protobuf.ts';

export interface ReceivedCall {
  readonly signal: 'logs' | 'metrics';
  readonly metadata: Metadata;
  readonly body: Buffer;
}

/** `reply` with a body, or with a status; never called: the peer hangs. `attempt` counts from 1. */
export type GrpcAnswer = (reply: (result: Buffer | Partial<StatusObject>) => void, attempt: number) => void;

export const ok: GrpcAnswer = (reply) => reply(Buffer.alloc(0));

export interface GrpcCollector {
  readonly port: number;
  readonly calls: ReceivedCall[];
  readonly close: () => void;
}

export async function grpcCollector(
  answer: GrpcAnswer = ok,
  options: { readonly credentials?: ServerCredentials; readonly port?: number } = {},
): Promise<GrpcCollector> {
  const calls: ReceivedCall[] = [];
  const server = new Server();
  const asIs = (bytes: Buffer) => bytes;
  for (const signal of ['logs', 'metrics'] as const) {
    const service = signal === 'logs' ? 'logs.v1.LogsService' : 'metrics.v1.MetricsService';
    const definition = {
      path: `/opentelemetry.proto.collector.${service}/Export`,
      requestStream: false,
      responseStream: false,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    };
    const handle = (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
      calls.push({ signal, metadata: call.metadata, body: call.request });
      answer((result) => {
        if (Buffer.isBuffer(result)) done(null, result);
        else done({ code: status.UNKNOWN, ...result });
      }, calls.length);
    };
    server.addService({ Export: definition }, { Export: handle });
  }
  const port = await new Promise<number>((resolve, reject) => {
    const credentials = options.credentials ?? ServerCredentials.createInsecure();
    server.bindAsync(`127.0.0.1:${options.port ?? 0}`, credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return { port, calls, close: () => server.forceShutdown() };
}

/** A status that asks to wait, as servers write it. */
export function throttled(code: number, seconds: number, nanos = 0): Partial<StatusObject> {
  const value = encode('RetryInfo', { retryDelay: { seconds, nanos } });
  const metadata = new Metadata();
  const details = [
    { typeUrl: 'type.googleapis.com/google.rpc.Help', value: Buffer.from([8, 1]) },
    { typeUrl: 'type.googleapis.com/google.rpc.RetryInfo', value },
  ];
  metadata.set('grpc-status-details-bin', encode('Status', { code, message: 'slow down', details }));
  return { code, details: 'slow down', metadata };
}
