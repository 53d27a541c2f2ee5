/**
 * OTLP over gRPC: one unary call of one encoded request. The channel is thrown away after a failed connection, so the
 * next attempt dials at once (grpc-js would wait up to two minutes on its own) and reads the TLS files anew.
 *
 * Which status may be tried again: OTLP 1.x, "OTLP/gRPC response".
 */
import {
  type ChannelCredentials,
  Client,
  credentials,
  Metadata,
  type ServiceError,
  status as Status,
  type VerifyOptions,
} from '@grpc/grpc-js';
import { openSslWords } from '../../collector/openssl-words.ts';
import type { Sender, SendResult } from '../otlp/sender.ts';
import { identityCheck, readTlsFiles, type TlsConfig } from '../otlp/tls-files.ts';
import { retryInfoMs } from './retry-info.ts';

const RETRYABLE: ReadonlySet<number> = new Set([
  Status.CANCELLED,
  Status.DEADLINE_EXCEEDED,
  Status.ABORTED,
  Status.OUT_OF_RANGE,
  Status.UNAVAILABLE,
  Status.DATA_LOSS,
]);

/** After these the channel itself is in doubt. */
const DIAL_AGAIN: ReadonlySet<number> = new Set([Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED]);

/** grpc-js's numbers (grpc.default_compression_algorithm). */
const COMPRESSION = { none: 0, gzip: 2 } as const;

export interface GrpcSenderOptions {
  /** The component's id, for messages. */
  readonly owner: string;
  /** `host:port`. */
  readonly address: string;
  readonly plaintext: boolean;
  /** The whole method, as /opentelemetry.proto.collector.logs.v1.LogsService/Export. */
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly compression: 'gzip' | 'none';
  /** Milliseconds for the whole attempt. */
  readonly timeout: number;
  readonly tls: TlsConfig;
  readonly userAgent: string;
}

export class GrpcSender implements Sender {
  readonly target: string;
  readonly #options: GrpcSenderOptions;
  #client: Client | undefined;

  constructor(options: GrpcSenderOptions) {
    this.target = options.address;
    this.#options = options;
  }

  send(body: Buffer, abort: AbortSignal): Promise<SendResult> {
    return new Promise((resolve) => {
      if (abort.aborted) return resolve({ kind: 'retry', reason: 'the agent stops' });
      let client: Client;
      let metadata: Metadata;
      try {
        client = this.#client ??= this.#dial();
        metadata = this.#metadata();
      } catch (error) {
        // The TLS files cannot be used now; they are read again for the next attempt.
        return resolve({ kind: 'retry', reason: (error as Error).message });
      }
      const { method, timeout } = this.#options;
      const options = { deadline: Date.now() + timeout };
      const call = client.makeUnaryRequest(method, asIs, asIs, body, metadata, options, (error, response) => {
        abort.removeEventListener('abort', cancel);
        if (error === null) return resolve({ kind: 'delivered', response: response ?? Buffer.alloc(0) });
        if (DIAL_AGAIN.has(error.code)) this.#hangUp(client);
        resolve(failure(error));
      });
      const cancel = () => call.cancel();
      abort.addEventListener('abort', cancel);
    });
  }

  close(): void {
    if (this.#client !== undefined) this.#hangUp(this.#client);
  }

  #dial(): Client {
    const { address, compression, userAgent } = this.#options;
    return new Client(address, this.#credentials(), {
      'grpc.default_compression_algorithm': COMPRESSION[compression],
      'grpc.primary_user_agent': userAgent,
      // A channel of our own: a shared one would keep the connection, its back-off and its certificates.
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  #credentials(): ChannelCredentials {
    const { plaintext, tls, owner } = this.#options;
    if (plaintext) return credentials.createInsecure();
    const { ca, cert, key } = readTlsFiles(tls, owner);
    const checkServerIdentity = identityCheck(tls);
    const verify: VerifyOptions = {
      rejectUnauthorized: !tls.insecure_skip_verify,
      ...(checkServerIdentity === undefined ? {} : { checkServerIdentity }),
    };
    return credentials.createSsl(ca ?? null, key ?? null, cert ?? null, verify);
  }

  #metadata(): Metadata {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(this.#options.headers)) metadata.set(name, value);
    return metadata;
  }

  /** Closes a channel that failed, unless another attempt has replaced it already. */
  #hangUp(client: Client): void {
    client.close();
    if (this.#client === client) this.#client = undefined;
  }
}

const asIs = (bytes: Buffer): Buffer => bytes;

function failure(error: ServiceError): SendResult {
  const reason = `gRPC ${Status[error.code] ?? error.code}: ${openSslWords(error.details || error.message)}`;
  const afterMs = retryInfoMs(error.metadata);
  // RESOURCE_EXHAUSTED may be tried again only if the peer says when.
  const retryable = RETRYABLE.has(error.code) || (error.code === Status.RESOURCE_EXHAUSTED && afterMs !== undefined);
  if (!retryable) return { kind: 'rejected', reason };
  return { kind: 'retry', reason, ...(afterMs === undefined ? {} : { afterMs }) };
}
