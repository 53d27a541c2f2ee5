/** What can go wrong between the source and the API server, told apart so that each has its own mend and its own retry. */
import { STATUS_CODES } from 'node:http';
import { openSslWords } from '../../../collector/openssl-words.ts';

export type FailureKind =
  /** Credentials cannot be read from their files. */
  | 'credentials'
  /** No connection: refused, no route, no such host. */
  | 'unreachable'
  /** An answer broke off, as those of a server do that is restarted. */
  | 'cut_off'
  /** Connected, but no trust: the server's certificate or ours was refused, or it speaks no TLS. */
  | 'certificate'
  | 'unauthorized'
  | 'forbidden'
  /** The server has no such resource. */
  | 'absent'
  /** The version asked for is gone: only a new list helps. */
  | 'expired'
  | 'overloaded'
  | 'server'
  /** Nothing came for longer than something should. */
  | 'stalled'
  /** What came is not what an API server says. */
  | 'malformed';

export class ApiFailure extends Error {
  readonly kind: FailureKind;
  /** How long the server asks us to stay away. */
  readonly retryAfterMs: number | undefined;

  constructor(
    kind: FailureKind,
    message: string,
    options: { cause?: unknown; retryAfterMs?: number | undefined } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'ApiFailure';
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs;
  }
}

const TLS_CODE = /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_|EPROTO$)/;

/** What OpenSSL makes of an answer in plain text. */
const NO_TLS = /wrong version number|packet length too long/;

/** A failure of the connection amid an answer. */
export function answerFailure(error: unknown, server: string): ApiFailure {
  const failure = connectionFailure(error, server);
  if (failure.kind !== 'unreachable') return failure;
  const message = `the API server ${server} has not said all: ${openSslWords((error as Error).message)}`;
  return new ApiFailure('cut_off', message, { cause: error });
}

/** A failure of the connection itself. */
export function connectionFailure(error: unknown, server: string): ApiFailure {
  if (error instanceof ApiFailure) return error;
  const { code } = error as NodeJS.ErrnoException;
  // A connection to several addresses that all failed has its reasons one by one and no message of its own.
  const parts: readonly Error[] = error instanceof AggregateError ? error.errors : [error as Error];
  const reasons = parts.map((part) => openSslWords(part.message)).join(', ');
  if (NO_TLS.test(reasons)) {
    return new ApiFailure(
      'certificate',
      `the API server ${server} does not speak TLS. Check the address: is it http://, or another port?`,
      { cause: error },
    );
  }
  if (code !== undefined && TLS_CODE.test(code)) {
    return new ApiFailure(
      'certificate',
      `no trusted connection to the API server ${server}: ${reasons}. Its certificate must come from the configured authority and name this host, and it must accept ours`,
      { cause: error },
    );
  }
  return new ApiFailure(
    'unreachable',
    `cannot reach the API server ${server}: ${reasons}. Check the address, and that no firewall or network policy is in between`,
    { cause: error },
  );
}

/** What was asked for: `list pods`. */
export interface Asked {
  readonly verb: 'list' | 'watch';
  readonly resource: string;
  readonly group: string;
}

export interface Refusal {
  readonly status: number;
  /** The server's own words; '' if it had none. */
  readonly said: string;
  readonly retryAfterMs: number | undefined;
}

/** An answer other than 200, or an ERROR event on a watch. `credentials`: whose they are and from where, for a 401. */
export function refusal(asked: Asked, { status, said, retryAfterMs }: Refusal, credentials: string): ApiFailure {
  const words = said === '' ? `${status} ${STATUS_CODES[status] ?? ''}`.trim() : `${status}, ${said}`;
  const what = `${asked.verb} ${asked.resource}`;
  switch (status) {
    case 401:
      return new ApiFailure(
        'unauthorized',
        `the API server does not accept ${credentials} (${words}). Renew it; files are read again at each attempt`,
      );
    case 403:
      return new ApiFailure(
        'forbidden',
        `not allowed to ${what} (${words}). Grant the verbs list and watch on ${asked.resource} in the API group "${asked.group}" to this account: deploy/rbac.yaml does`,
      );
    case 404:
      return new ApiFailure(
        'absent',
        asked.group === ''
          ? `cannot ${what}: there is no such resource (${words}). Is this an API server? Check the address`
          : `cannot ${what}: the API server has no such resource (${words})`,
      );
    case 410:
      return new ApiFailure('expired', `cannot ${what} from that version on (${words})`);
    case 429:
    case 503:
      return new ApiFailure('overloaded', `cannot ${what}: the API server is overloaded or not ready (${words})`, {
        retryAfterMs,
      });
    default:
      return new ApiFailure('server', `cannot ${what}: the API server answers ${words}`, { retryAfterMs });
  }
}
