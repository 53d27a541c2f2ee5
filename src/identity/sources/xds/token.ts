/**
 * The service account's token (a JWT, RFC 7519): sent as it is, and read as far as it says why it may be refused. Its
 * signature is the control plane's business.
 */
import { readFileSync } from 'node:fs';
import { XdsFailure } from './failure.ts';

export interface Token {
  readonly text: string;
  readonly audiences: readonly string[];
  /** Seconds since the epoch; undefined where it says nothing. */
  readonly expires: number | undefined;
  readonly namespace: string | undefined;
}

/** What istiod asks a token to be for. */
const AUDIENCE = 'istio-ca';

/** @throws XdsFailure (`token`) when the file cannot be read or holds nothing. */
export function readToken(path: string): Token {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new XdsFailure(
      'token',
      `cannot read the token ${path}: ${(error as Error).message}. Mount a service account token for the audience ${AUDIENCE} there, or set token_file`,
      { cause: error },
    );
  }
  if (text === '')
    throw new XdsFailure(
      'token',
      `the token ${path} is empty. Mount a service account token for the audience ${AUDIENCE} there`,
    );
  if (/[^\x21-\x7e]/.test(text))
    throw new XdsFailure('token', `${path} holds no token: there are blanks or other signs in it that no token has`);
  const { aud, exp, 'kubernetes.io': kubernetes } = claims(text);
  const namespace = isRecord(kubernetes) ? kubernetes.namespace : undefined;
  return {
    text,
    audiences: [aud].flat().filter((audience) => typeof audience === 'string'),
    expires: typeof exp === 'number' ? exp : undefined,
    namespace: typeof namespace === 'string' ? namespace : undefined,
  };
}

/** Why a control plane would refuse it, with the mend, by what it says itself; undefined if it says nothing against it. */
export function tokenObjection(token: Token, nodeNamespace: string, nowMs: number): string | undefined {
  if (token.expires !== undefined && token.expires * 1000 <= nowMs) {
    return `it has expired at ${new Date(token.expires * 1000).toISOString()}: is the file still renewed (a projected volume is, a copy is not)?`;
  }
  if (token.audiences.length > 0 && !token.audiences.includes(AUDIENCE)) {
    return `it is for the audience ${token.audiences.join(', ')}, not ${AUDIENCE}: set audience: ${AUDIENCE} in the projected volume`;
  }
  if (token.namespace !== undefined && token.namespace !== nodeNamespace) {
    return `it is for the namespace ${token.namespace}, and the agent says that it is in ${nodeNamespace}: set POD_NAMESPACE to ${token.namespace}`;
  }
  return undefined;
}

/** {} for a text that is no JWT: other tokens are possible. */
function claims(text: string): Readonly<Record<string, unknown>> {
  try {
    const claims: unknown = JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return isRecord(claims) ? claims : {};
  } catch {
    return {};
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;
