/**
 * OTLP over HTTP: one POST of one protobuf request. Written on node:http because the SDK's transport hides what the
 * queue must know and do: its retry cannot be turned off and forgets Retry-After, its timeout is one of silence (a peer
 * that drips keeps a request for ever), and a request in flight cannot be given up at shutdown.
 *
 * Which answers may be tried again: OTLP 1.x, "OTLP/HTTP response" (429, 502, 503, 504 and failed connections).
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls';
import { openSslWords } from '../../collector/openssl-words.ts';
import type { Sender, SendResult } from '../otlp/sender.ts';
import { identityCheck, readTlsFiles, type TlsConfig } from '../otlp/tls-files.ts';
import { failureText } from './failure-text.ts';
import { isGzip } from './packing.ts';
import { retryAfterMs } from './retry-after.ts';

const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** Answers are small; what lies beyond is not read. */
const MAX_RESPONSE_BYTES = 1024 * 1024;

export interface HttpSenderOptions {
  /** The component's id, for messages. */
  readonly owner: string;
  /** The whole URL, as http://localhost:4318/v1/logs. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds for the whole attempt. */
  readonly timeout: number;
  readonly tls: TlsConfig;
  readonly userAgent: string;
}

export class HttpSender implements Sender {
  readonly target: string;
  readonly #options: HttpSenderOptions;
  readonly #url: URL;
  readonly #headers: OutgoingHttpHeaders;
  readonly #agent: HttpAgent | HttpsAgent;

  constructor(options: HttpSenderOptions) {
    this.target = options.url;
    this.#options = options;
    this.#url = new URL(options.url);
    this.#headers = {
      'user-agent': options.userAgent,
      ...options.headers,
      'content-type': 'application/x-protobuf',
    };
    this.#agent = this.#url.protocol === 'https:' ? tlsAgent(options) : new HttpAgent({ keepAlive: true });
  }

  async send(body: Buffer, abort: AbortSignal): Promise<SendResult> {
    if (abort.aborted) return { kind: 'retry', reason: 'the agent stops' };
    // AbortSignal.any would do, but in Node 20 a signal that lives as long as the agent keeps something of each combination.
    const attempt = new AbortController();
    const giveUp = () => attempt.abort();
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      giveUp();
    }, this.#options.timeout);
    abort.addEventListener('abort', giveUp);
    try {
      const response = await this.#post(body, attempt.signal);
      return response.ok ? { kind: 'delivered', response: response.body } : failure(response);
    } catch (error) {
      // No answer, for whatever reason: the peer, the network or a certificate may be right the next time.
      if (isLate) return { kind: 'retry', reason: `no answer within ${this.#options.timeout} ms` };
      if (abort.aborted) return { kind: 'retry', reason: 'the agent stops' };
      return { kind: 'retry', reason: errorText(error as Error) };
    } finally {
      clearTimeout(timer);
      abort.removeEventListener('abort', giveUp);
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  /** A kept connection that the peer has closed meanwhile shows as a reset: then once more at once, on a new one. */
  async #post(payload: Buffer, signal: AbortSignal): Promise<Answer> {
    const first = await this.#attempt(payload, signal);
    if ('status' in first) return first;
    const second = first.stale ? await this.#attempt(payload, signal) : first;
    if ('status' in second) return second;
    throw second.error;
  }

  #attempt(payload: Buffer, signal: AbortSignal): Promise<Answer | { stale: boolean; error: Error }> {
    const start = this.#url.protocol === 'https:' ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const encoding = isGzip(payload) ? { 'content-encoding': 'gzip' } : {};
      const headers = { ...this.#headers, ...encoding, 'content-length': payload.length };
      const options = { method: 'POST', headers, agent: this.#agent, signal };
      const post = start(this.#url, options, (response) => readAnswer(response).then(resolve, reject));
      post.on('error', (error: NodeJS.ErrnoException) => {
        const stale = post.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
        resolve({ stale, error });
      });
      // 101, which nobody asked for: without this there would be neither an answer nor an error.
      post.on('upgrade', (response, socket) => {
        socket.destroy();
        resolve(answerOf(response, Buffer.alloc(0)));
      });
      post.end(payload);
    });
  }
}

interface Answer {
  readonly ok: boolean;
  readonly status: number;
  readonly contentType: string;
  readonly retryAfter: string | undefined;
  readonly body: Buffer;
}

/** Rejects only if there is no status to go by, or a bad one whose answer then breaks off. */
async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_RESPONSE_BYTES) break;
      chunks.push(chunk);
    }
  } catch (error) {
    // The status has told that the request was taken: the rest of the answer matters no more.
    if (!answerOf(response, Buffer.alloc(0)).ok) throw error;
  }
  return answerOf(response, Buffer.concat(chunks));
}

function answerOf({ statusCode = 0, headers }: IncomingMessage, body: Buffer): Answer {
  return {
    ok: statusCode >= 200 && statusCode <= 299,
    status: statusCode,
    contentType: headers['content-type'] ?? '',
    retryAfter: headers['retry-after'],
    body,
  };
}

function failure({ status, contentType, retryAfter, body }: Answer): SendResult {
  const reason = failureText(status, contentType, body);
  if (!RETRYABLE.has(status)) return { kind: 'rejected', reason };
  const afterMs = retryAfterMs(retryAfter, Date.now());
  return { kind: 'retry', reason, ...(afterMs === undefined ? {} : { afterMs }) };
}

/** Reads the TLS files at each new connection. What is wrong with them then fails the attempt, with its own message. */
function tlsAgent({ tls, owner }: HttpSenderOptions): HttpsAgent {
  const agent = new HttpsAgent({ keepAlive: true });
  const checkServerIdentity = identityCheck(tls);
  agent.createConnection = (options) => {
    const own = {
      ...readTlsFiles(tls, owner),
      rejectUnauthorized: !tls.insecure_skip_verify,
      ...(checkServerIdentity === undefined ? {} : { checkServerIdentity }),
    };
    return tlsConnect(Object.assign({}, options, own) as ConnectionOptions);
  };
  return agent;
}

/** Node gives one error for all addresses of a name that failed: its own text is empty, those of its parts are not. */
function errorText(error: Error): string {
  const parts: readonly Error[] = error instanceof AggregateError ? error.errors : [error];
  return parts.map((part) => openSslWords(part.message)).join(', ');
}
