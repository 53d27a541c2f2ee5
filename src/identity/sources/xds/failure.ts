/** Why there is no stream from the control plane, in words for the person who must mend it. */

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
  readonly details: string;
}

export interface CallContext {
  /** `host:port`. */
  readonly target: string;
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

/** Signs of a certificate in the text of a failed connection, with what to do. */
const CERTIFICATE_SIGNS: readonly (readonly [RegExp, string])[] = [
  [
    /ALTNAME_INVALID|does not match certificate/i,
    'Use a host that the certificate names, or set tls.server_name_override',
  ],
  [/certificate has expired/i, "Renew the control plane's certificate, or set this node's clock right"],
  [/certificate is not yet valid/i, "Set this node's clock right"],
];

export function failureOf(status: CallStatus, context: CallContext): XdsFailure {
  const { target, tokenFile, tokenObjection } = context;
  const reason = plainReason(status.details);
  switch (status.code) {
    case 'UNAVAILABLE':
      return unavailable(reason, context);
    case 'UNAUTHENTICATED': {
      const objection = tokenObjection === undefined ? '' : ` ${tokenFile}: ${tokenObjection}`;
      const mend = tokenFile === '' ? ' No token was sent: set token_file' : objection;
      return new XdsFailure('token', `${target} does not accept the token (${reason}).${mend}`);
    }
    case 'PERMISSION_DENIED':
      return new XdsFailure(
        'permission',
        `${target} refuses this node (${reason}). The namespace that the agent says (${context.nodeNamespace}, POD_NAMESPACE) must be the token's`,
      );
    case 'INVALID_ARGUMENT':
      return new XdsFailure('protocol', `${target} does not take the node ${context.nodeId} (${reason})`);
    case 'UNIMPLEMENTED':
      return new XdsFailure('address', `${target} is a gRPC server, but no control plane (${reason}). Check endpoint`);
    case 'RESOURCE_EXHAUSTED':
      return new XdsFailure('protocol', `a message between ${target} and the agent is too long (${reason})`);
    case 'OK':
      return new XdsFailure('ended', `${target} has closed the stream`);
    default:
      return new XdsFailure('protocol', `the stream from ${target} has failed: ${status.code}: ${reason}`);
  }
}

function unavailable(reason: string, { target, caFile }: CallContext): XdsFailure {
  for (const [sign, mend] of CERTIFICATE_SIGNS) {
    if (sign.test(reason)) return new XdsFailure('certificate', `${target}: ${reason}. ${mend}`);
  }
  if (/wrong version number|packet length too long/i.test(reason)) {
    return new XdsFailure('certificate', `${target} does not speak TLS. Use its TLS port (15012), or set tls.insecure`);
  }
  if (/certificate|self.signed|unable to (verify|get)/i.test(reason)) {
    const roots = caFile === '' ? "the system's roots (tls.ca_file is empty)" : caFile;
    return new XdsFailure(
      'certificate',
      `the certificate of ${target} is not signed by ${roots}: ${reason}. Set tls.ca_file to the mesh's root`,
    );
  }
  if (/Name resolution failed/i.test(reason)) {
    return new XdsFailure(
      'address',
      `${target}: the name cannot be resolved. Check endpoint, and the resolver of this node`,
    );
  }
  if (/ECONNREFUSED/.test(reason)) {
    return new XdsFailure('address', `nobody listens on ${target}. Is the control plane running? Check endpoint`);
  }
  if (/^Failed to connect/.test(reason)) {
    return new XdsFailure(
      'address',
      `${target} has closed the connection before it spoke HTTP/2. Does it want TLS (tls.insecure is set)?`,
    );
  }
  return new XdsFailure('address', `no connection to ${target}: ${reason}`);
}

/** grpc-js's own words around a reason, which say nothing to an operator. */
function plainReason(details: string): string {
  return details
    .replace(/^No connection established\. Last error: /, '')
    .replace(/\.? ?Resolution note: ?$/, '')
    .replace(/^Error: /, '')
    .trim();
}
