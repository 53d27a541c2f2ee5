/**
 * One HTTP/2 connection with one gRPC stream, thrown away together when the stream ends: the next attempt dials anew,
 * with the roots and the token as they are then.
 *
 * Not by a gRPC library: those hand over whole messages, and all of a large mesh is one message. Put together it blocks
 * the event loop and its 40 MB are held twice until the next one comes; here it is read as it arrives. What is needed of
 * gRPC for one stream is a request, framed messages and a status at the end.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type SecureClientSessionOptions,
} from 'node:http2';
import type { XdsConfig } from './config.ts';
import type { Credentials } from './credentials.ts';
import { type CallContext, connectionFailure, statusFailure, XdsFailure } from './failure.ts';
import { BrokenStream, frame, type IncomingMessage, incomingMessages } from './grpc-messages.ts';
import { statusMessage, statusName } from './grpc-status.ts';

/** 40 MB for 100,000 workloads. */
const LONGEST_MESSAGE = 200 * 1024 * 1024;

/** Bytes under way; with HTTP/2's 64 KiB the round trips would set the pace of a large message. */
const WINDOW = 1024 * 1024;

/** How long a peer may be silent, in milliseconds. */
export interface Patience {
  /** For name, TCP and TLS. A dropped SYN would otherwise be tried for two minutes. */
  readonly connect: number;
  /** Between pings, by which a peer is found out that is gone without a word; istiod allows one every 15 s. */
  readonly keepalive: number;
  readonly keepaliveTimeout: number;
}

const PATIENCE: Patience = { connect: 10_000, keepalive: 30_000, keepaliveTimeout: 10_000 };

/** A stream of requests and responses, each one message. */
export interface XdsStream {
  /** Without effect once the stream is over. */
  send(request: Buffer): void;
  /** One at a time: the peer is held back while one is being looked at. Ends by throwing an XdsFailure, always. */
  responses(): AsyncIterableIterator<IncomingMessage>;
  /** Idempotent. `responses` then throws. */
  close(): void;
}

/** Dials; what goes wrong is thrown by `responses`. `method` as `/envoy.service.…/DeltaAggregatedResources`. */
export function openStream(
  config: XdsConfig,
  method: string,
  credentials: Credentials,
  context: CallContext,
  patience: Patience = PATIENCE,
): XdsStream {
  return new Http2Stream(config, method, credentials, context, patience);
}

class Http2Stream implements XdsStream {
  readonly #context: CallContext;
  readonly #patience: Patience;
  readonly #session: ClientHttp2Session;
  readonly #stream: ClientHttp2Stream;
  readonly #connectTimer: NodeJS.Timeout;
  #keepalive: NodeJS.Timeout | undefined;
  #spoke = false;
  /** Why it is over, as far as this end knows. */
  #failure: Error | undefined;
  #headers: IncomingHttpHeaders = {};
  #trailers: IncomingHttpHeaders = {};

  constructor(
    config: XdsConfig,
    method: string,
    { roots, token }: Credentials,
    context: CallContext,
    patience: Patience,
  ) {
    this.#context = context;
    this.#patience = patience;
    const { tls } = config;
    this.#session = connect(`${tls.insecure ? 'http' : 'https'}://${context.target}`, {
      settings: { initialWindowSize: WINDOW, enablePush: false },
      ...(tls.insecure ? {} : tlsOptions(config, roots)),
    });
    this.#session.on('error', (error) => this.#fail(error));
    // Not `connect`: whoever listens may speak another language.
    this.#session.once('remoteSettings', () => this.#spoken());
    this.#connectTimer = setTimeout(() => {
      this.#fail(
        new XdsFailure(
          'address',
          `${context.target} does not answer within ${patience.connect} ms. Check endpoint, and what lies between (network policies, firewalls)`,
        ),
      );
    }, patience.connect);
    this.#stream = this.#session.request(
      {
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: method,
        [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
        [constants.HTTP2_HEADER_TE]: 'trailers',
        [constants.HTTP2_HEADER_USER_AGENT]: 'tcpledger',
        clusterid: config.cluster_id,
        ...(token === undefined ? {} : { authorization: `Bearer ${token.text}` }),
      },
      { endStream: false },
    );
    this.#stream.on('error', (error) => this.#fail(error));
    this.#stream.on('response', (headers) => {
      this.#headers = headers;
    });
    this.#stream.on('trailers', (trailers) => {
      this.#trailers = trailers;
    });
  }

  send(request: Buffer): void {
    if (this.#stream.writable) this.#stream.write(frame(request));
  }

  async *responses(): AsyncIterableIterator<IncomingMessage> {
    try {
      let ended: unknown;
      try {
        yield* incomingMessages(this.#body(), LONGEST_MESSAGE);
      } catch (error) {
        ended = error;
      }
      throw this.#reason(ended);
    } finally {
      this.close();
    }
  }

  close(): void {
    clearTimeout(this.#connectTimer);
    clearInterval(this.#keepalive);
    if (this.#session.destroyed) return;
    this.#failure ??= new XdsFailure('ended', `the stream from ${this.#context.target} was closed by the agent`);
    this.#stream.close(constants.NGHTTP2_CANCEL);
    this.#session.destroy();
  }

  /** The body, as far as the answer is one of gRPC. */
  async *#body(): AsyncIterableIterator<Buffer> {
    for await (const chunk of this.#stream) {
      if (!this.#isGrpc()) return;
      yield chunk;
    }
  }

  #isGrpc(): boolean {
    const type = String(this.#headers[constants.HTTP2_HEADER_CONTENT_TYPE] ?? '');
    return this.#httpStatus === 200 && type.startsWith('application/grpc');
  }

  get #httpStatus(): number | undefined {
    const status = this.#headers[constants.HTTP2_HEADER_STATUS];
    return status === undefined ? undefined : Number(status);
  }

  /** The peer has spoken HTTP/2. */
  #spoken(): void {
    this.#spoke = true;
    clearTimeout(this.#connectTimer);
    this.#session.setLocalWindowSize(WINDOW);
    this.#keepalive = setInterval(() => this.#ping(), this.#patience.keepalive);
    this.#keepalive.unref();
  }

  #ping(): void {
    // It may be over while what it said is still being looked at: then there is nothing to find out.
    if (this.#session.destroyed) return;
    const timer = setTimeout(() => {
      const text = `${this.#context.target} is silent: no answer to a ping within ${this.#patience.keepaliveTimeout} ms`;
      this.#fail(new XdsFailure('ended', text));
    }, this.#patience.keepaliveTimeout);
    timer.unref();
    if (!this.#session.ping(() => clearTimeout(timer))) clearTimeout(timer);
  }

  /** The first reason is the reason: others follow from it, as a stream's that is cancelled since its connection is gone. */
  #fail(error: Error): void {
    this.#failure ??= error.cause instanceof Error && !(error instanceof XdsFailure) ? error.cause : error;
    this.close();
  }

  /** `ended`: how reading has ended; undefined for a peer that has said all. */
  #reason(ended: unknown): Error {
    const { target } = this.#context;
    const all = { ...this.#headers, ...this.#trailers };
    const code = all['grpc-status'];
    if (code !== undefined) {
      const message = statusMessage(String(all['grpc-message'] ?? ''));
      return statusFailure({ code: statusName(String(code)), message }, this.#context);
    }
    if (this.#failure instanceof XdsFailure) return this.#failure;
    if (ended instanceof BrokenStream) return new XdsFailure('protocol', `${target}: ${ended.message}`);
    const error = this.#failure ?? ended;
    if (error instanceof Error) return connectionFailure(error, this.#spoke, this.#context);
    if (this.#httpStatus !== undefined && !this.#isGrpc()) {
      const text = `${target} answers as a web server would (HTTP status ${this.#httpStatus}). Check endpoint`;
      return new XdsFailure('address', text);
    }
    return new XdsFailure('ended', `${target} has closed the stream`);
  }
}

function tlsOptions({ tls }: XdsConfig, roots: Buffer | undefined): SecureClientSessionOptions {
  return {
    ...(roots === undefined ? {} : { ca: roots }),
    ...(tls.server_name_override === '' ? {} : { servername: tls.server_name_override }),
  };
}
