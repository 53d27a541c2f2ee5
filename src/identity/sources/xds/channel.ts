/**
 * One connection with one stream, on grpc-js: this file is loaded when a source first connects, since gRPC takes
 * megabytes. Both are thrown away together when the stream ends, so that the next attempt dials at once (grpc-js would
 * wait up to two minutes on its own) with the roots and the token as they are then.
 */
import {
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  connectivityState,
  credentials,
  Metadata,
  type ServiceError,
  status as Status,
} from '@grpc/grpc-js';
import type { XdsConfig } from './config.ts';
import type { Credentials } from './credentials.ts';
import { type CallContext, failureOf, XdsFailure } from './failure.ts';

/** All of a large mesh comes in one message: 40 MB for 100,000 workloads. */
const LONGEST_MESSAGE = 200 * 1024 * 1024;

/** Bytes under way; with HTTP/2's 64 KiB the round trips would set the pace of a large message. */
const WINDOW = 4 * 1024 * 1024;

/** A peer that is gone without a word is found out in this time; istiod allows a ping every 15 s. */
const KEEPALIVE_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;

/** For name, TCP and TLS. A dropped SYN would otherwise be tried for two minutes. */
const CONNECT_TIMEOUT_MS = 10_000;

/** A stream of requests and responses, each the bytes of one message. */
export interface XdsStream {
  /** Without effect once the stream is over. */
  send(request: Buffer): void;
  /** One at a time: the peer is held back while one is being looked at. Ends by throwing an XdsFailure, always. */
  responses(): AsyncIterableIterator<Buffer>;
  /** Idempotent. `responses` then throws. */
  close(): void;
}

/** Dials; what goes wrong is thrown by `responses`. `method` as `/envoy.service.…/DeltaAggregatedResources`. */
export function openStream(
  config: XdsConfig,
  method: string,
  { roots, token }: Credentials,
  context: CallContext,
): XdsStream {
  const client = new Client(
    context.target,
    config.tls.insecure ? credentials.createInsecure() : credentials.createSsl(roots ?? null),
    channelOptions(config),
  );
  const metadata = new Metadata();
  metadata.set('clusterid', config.cluster_id);
  if (token !== undefined) metadata.set('authorization', `Bearer ${token.text}`);
  const call: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(method, asIs, asIs, metadata);
  let timedOut = false;
  const connectTimer = setTimeout(() => {
    timedOut = client.getChannel().getConnectivityState(false) !== connectivityState.READY;
    if (timedOut) call.cancel();
  }, CONNECT_TIMEOUT_MS);
  connectTimer.unref();
  const close = () => {
    clearTimeout(connectTimer);
    call.cancel();
    client.close();
  };
  return {
    send: (request) => {
      if (call.writable) call.write(request);
    },
    close,
    async *responses() {
      try {
        yield* call as AsyncIterable<Buffer>;
      } catch (error) {
        if (timedOut) {
          const seconds = CONNECT_TIMEOUT_MS / 1000;
          throw new XdsFailure(
            'address',
            `${context.target} does not answer within ${seconds} s. Check endpoint, and what lies between (network policies, firewalls)`,
          );
        }
        const { code, details } = error as Partial<ServiceError>;
        // What a consumer threw into this generator is not ours to explain.
        if (code === undefined) throw error;
        throw failureOf({ code: Status[code] ?? String(code), details: details ?? '' }, context);
      } finally {
        close();
      }
      throw failureOf({ code: 'OK', details: '' }, context);
    },
  };
}

function channelOptions({ tls }: XdsConfig): ChannelOptions {
  return {
    'grpc.primary_user_agent': 'tcpledger',
    'grpc.max_receive_message_length': LONGEST_MESSAGE,
    // All that is known is named at a reconnect.
    'grpc.max_send_message_length': -1,
    'grpc-node.flow_control_window': WINDOW,
    'grpc.keepalive_time_ms': KEEPALIVE_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    // A proxy for the outside world is not on the way to the control plane.
    'grpc.enable_http_proxy': 0,
    'grpc.enable_retries': 0,
    // A channel of our own: a shared one would keep the connection, its back-off and its roots.
    'grpc.use_local_subchannel_pool': 1,
    ...(tls.server_name_override === '' ? {} : { 'grpc.ssl_target_name_override': tls.server_name_override }),
  };
}

const asIs = (bytes: Buffer): Buffer => bytes;
