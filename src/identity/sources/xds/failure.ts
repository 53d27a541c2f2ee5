/** Why there is no stream from the control plane, in words for the person who must mend it. */
import { openSslWords } from '../../../collector/openssl-words.ts';

/** `ended`: a stream that worked is over, as happens whenever a control plane restarts or rotates its connections. */
export type FailureKind = 'address' | 'certificate' | 'token' | 'permission' | 'protocol' | 'ended';

export class XdsFailure extends Error {
  readonly kind: FailureKind;

  /** `message`: what failed, why, and what to do. */
  constructor(kind: FailureKind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'XdsFailure';
    this.kind = kind;
  }
}

/** How a gRPC call ended. */
export interface CallStatus {
  /** gRPC's code by name, as UNAVAILABLE. */
  readonly code: string;
  readonly message: string;
}

export interface CallContext {
  /** `host:port`. */
  readonly target: string;
  readonly plaintext: boolean;
  /** What the roots were read from; '' for the system's. */
  readonly caFile: string;
  /** '' where no token was sent. */
  readonly tokenFile: string;
  /** What the token itself says against its use; undefined for nothing. */
  readonly tokenObjection: string | undefined;
  /** Who the agent said that it is. */
  readonly nodeId: string;
  readonly nodeNamespace: string;
}

/** The control plane has ended the call by a status. */
export function statusFailure({ code, message }: CallStatus, context: CallContext): XdsFailure {
  const { target, tokenFile, tokenObjection } = context;
  const said = message === '' ? '' : ` (${message})`;
  switch (code) {
    case 'OK':
      return new XdsFailure('ended', `${target} has closed the stream`);
    case 'UNAVAILABLE':
      return new XdsFailure('ended', `${target} is not available${said}`);
    case 'UNAUTHENTICATED': {
      const mend =
        tokenFile === ''
          ? '. No token was sent: set token_file'
          : tokenObjection === undefined
            ? `, which is that of ${tokenFile}`
            : `, which is that of ${tokenFile}: ${tokenObjection}`;
      return new XdsFailure('token', `${target} does not accept the token${said}${mend}`);
    }
    case 'PERMISSION_DENIED':
      return new XdsFailure(
        'permission',
        `${target} refuses this node${said}. The namespace that the agent says (${context.nodeNamespace}, from POD_NAMESPACE) must be the token's`,
      );
    case 'INVALID_ARGUMENT':
      return new XdsFailure('protocol', `${target} does not take the node ${context.nodeId}${said}`);
    case 'UNIMPLEMENTED':
      return new XdsFailure('address', `${target} is a gRPC server, but no control plane${said}. Check endpoint`);
    default:
      return new XdsFailure('protocol', `the stream from ${target} has failed: ${code}${said}`);
  }
}

/** The connection has failed, or could not be made. `error` as Node has it; `spoke`: the peer had spoken HTTP/2. */
export function connectionFailure(error: NodeJS.ErrnoException, spoke: boolean, context: CallContext): XdsFailure {
  const { target, plaintext } = context;
  const { code = '' } = error;
  const message = openSslWords(error.message);
  const failure = (kind: FailureKind, text: string) => new XdsFailure(kind, text, { cause: error });
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return failure(
      'address',
      `${target}: the name cannot be resolved (${code}). Check endpoint, and the resolver of this node`,
    );
  }
  if (code === 'ECONNREFUSED') {
    return failure('address', `nobody listens on ${target}. Is the control plane running? Check endpoint`);
  }
  if (/wrong version number|packet length too long/.test(message)) {
    return failure('certificate', `${target} does not speak TLS. Use its TLS port (15012), or set tls.insecure`);
  }
  const certificate = certificateFailure(code, message, context);
  if (certificate !== undefined) return failure('certificate', certificate);
  if (plaintext && !spoke && (code === 'ERR_HTTP2_ERROR' || ENDINGS.has(code))) {
    return failure(
      'address',
      `${target} does not speak HTTP/2 in plaintext (${message}). Does it want TLS (tls.insecure is set)?`,
    );
  }
  if (ENDINGS.has(code)) return failure('ended', `the connection to ${target} has ended (${message})`);
  return failure('address', `no connection to ${target}: ${message}`);
}

/** Codes of a connection that was there. */
const ENDINGS: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'EPIPE',
  'ERR_HTTP2_SESSION_ERROR',
  'ERR_HTTP2_STREAM_ERROR',
  'ERR_HTTP2_STREAM_CANCEL',
  'ERR_HTTP2_GOAWAY_SESSION',
  'ERR_STREAM_PREMATURE_CLOSE',
]);

/** OpenSSL's verdicts on a chain, as Node names them, that mean: not of these roots. */
const NOT_OF_THESE_ROOTS =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT(_LOCALLY)?|UNABLE_TO_VERIFY_LEAF_SIGNATURE|CERT_SIGNATURE_FAILURE|INVALID_CA)$/;

function certificateFailure(code: string, message: string, { target, caFile }: CallContext): string | undefined {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `${target}: ${message} Use a host that the certificate names, or set tls.server_name_override`;
  }
  if (code === 'CERT_HAS_EXPIRED') {
    return `the certificate of ${target} has expired. Renew it, or set this node's clock right`;
  }
  if (code === 'CERT_NOT_YET_VALID') {
    return `the certificate of ${target} is not valid yet. Set this node's clock right`;
  }
  if (!NOT_OF_THESE_ROOTS.test(code)) return undefined;
  const roots = caFile === '' ? "the system's roots (tls.ca_file is empty)" : caFile;
  return `the certificate of ${target} is not signed by ${roots} (${message}). Set tls.ca_file to the mesh's root`;
}
