/**
 * Requests to the API server. node:https is loaded with the first one: an agent that names by other sources spends no
 * memory on it.
 */
import type { Agent, ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import type { RequestOptions as TlsOptions } from 'node:https';
import type { Access, ReadAccess } from './access.ts';
import { ApiFailure, type Asked, answerFailure, connectionFailure, refusal } from './api-failure.ts';
import { asRecord, asText } from './json.ts';

/** Of a refusal's words as much as a log line can bear. */
const MAX_REFUSAL_BYTES = 16_384;
const MAX_SAID = 300;

/** A peer that vanished without a word is found by the kernel, too. */
const KEEP_ALIVE_MS = 30_000;

export interface Request extends Asked {
  /** Path and query, from the root of the API. */
  readonly path: string;
  /** Longest silence, before the answer and within it. */
  readonly idleMs: number;
  readonly signal: AbortSignal;
}

export interface ApiClient {
  /** Credentials as they are now. @throws ApiFailure `credentials`. */
  access(): Promise<Access>;
  /**
   * The body of a good answer, in chunks as they come; a slow reader slows the server down. It must be read, and leaving
   * the loop early lets go of the connection. Errors amid it are ApiFailures, too.
   *
   * @throws ApiFailure; also when `signal` aborts.
   */
  open(request: Request, access: Access): Promise<AsyncIterable<Buffer>>;
  /** Lets go of idle connections. */
  close(): void;
}

export function createApiClient(readAccess: ReadAccess): ApiClient {
  return new HttpApiClient(readAccess);
}

class HttpApiClient implements ApiClient {
  readonly #readAccess: ReadAccess;
  readonly #agents = new Map<string, Agent>();

  constructor(readAccess: ReadAccess) {
    this.#readAccess = readAccess;
  }

  async access(): Promise<Access> {
    try {
      return await this.#readAccess();
    } catch (error) {
      throw new ApiFailure('credentials', (error as Error).message, { cause: error });
    }
  }

  async open(request: Request, access: Access): Promise<AsyncIterable<Buffer>> {
    const response = await this.#answer(request, access).catch((error) => {
      throw connectionFailure(error, access.server);
    });
    if (response.statusCode === 200) return body(response, access.server);
    throw await refused(request, response, access);
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  async #answer(request: Request, access: Access): Promise<IncomingMessage> {
    const url = new URL(access.server + request.path);
    const secure = url.protocol === 'https:';
    const { request: send, Agent } = secure ? await import('node:https') : await import('node:http');
    const agent = this.#agents.get(url.protocol) ?? new Agent({ keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS });
    this.#agents.set(url.protocol, agent);
    const options: RequestOptions & TlsOptions = {
      agent,
      signal: request.signal,
      headers: {
        accept: 'application/json',
        'user-agent': 'tcpledger',
        ...(access.token !== undefined && { authorization: `Bearer ${access.token}` }),
      },
      ...(secure && tlsOptions(access)),
    };
    return new Promise((resolve, reject) => {
      let sent: ClientRequest;
      try {
        sent = send(url, options);
      } catch (error) {
        // A token or a certificate that cannot be sent at all.
        reject(new ApiFailure('credentials', `${access.origin}: ${(error as Error).message}`, { cause: error }));
        return;
      }
      let answered: IncomingMessage | undefined;
      sent.setTimeout(request.idleMs, () => {
        const { verb, resource, idleMs } = request;
        const silence = `the API server ${access.server} was silent for ${idleMs / 1000} s (${verb} ${resource})`;
        (answered ?? sent).destroy(new ApiFailure('stalled', silence));
      });
      sent.once('response', (response) => {
        answered = response;
        resolve(response);
      });
      // Stays: an error behind the answer comes here, too, and is told by the body.
      sent.on('error', reject);
      sent.end();
    });
  }
}

function tlsOptions({ ca, cert, key, serverName, verify }: Access): TlsOptions {
  return {
    rejectUnauthorized: verify,
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(serverName !== undefined && { servername: serverName }),
  };
}

async function* body(response: IncomingMessage, server: string): AsyncIterable<Buffer> {
  try {
    for await (const chunk of response) yield chunk as Buffer;
  } catch (error) {
    throw answerFailure(error, server);
  }
}

async function refused(request: Request, response: IncomingMessage, access: Access): Promise<ApiFailure> {
  let text = '';
  for await (const chunk of body(response, access.server)) {
    text += chunk.toString('utf8');
    if (text.length > MAX_REFUSAL_BYTES) break;
  }
  const seconds = Number(response.headers['retry-after'] ?? Number.NaN);
  return refusal(
    request,
    {
      status: response.statusCode!,
      said: statusMessage(text),
      retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : undefined,
    },
    access.credentials,
  );
}

/** The message of a Status object, or the text itself where something in between answered. */
function statusMessage(text: string): string {
  let said = text;
  try {
    said = asText(asRecord(JSON.parse(text))?.message) ?? '';
  } catch {
    // Not JSON: the words are what there is.
  }
  const line = said.trim().replaceAll(/\s+/g, ' ');
  return line.length > MAX_SAID ? `${line.slice(0, MAX_SAID)}…` : line;
}
