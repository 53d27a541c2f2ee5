/**
 * The values of Istio's TCP labels for one pair of ends, and of the richer set's base labels (telemetry.md §1, §3).
 * Rules only: who the ends are is identity's answer, given structurally.
 *
 * A value that is not known is `unknown`: never empty, never `-`. The single `-` is response_flags' "success".
 */
import { ISTIO_LABELS, TCP_LABELS } from './registry.ts';

type Maybe = string | undefined;

/** One end as far as labels need it. */
export interface LabelledWorkload {
  readonly name: Maybe;
  readonly namespace: Maybe;
  readonly canonicalService: Maybe;
  readonly canonicalRevision: Maybe;
  readonly principal: Maybe;
  readonly cluster: Maybe;
  readonly region: Maybe;
  readonly zone: Maybe;
}

export interface LabelledPeers {
  readonly reporter: string;
  readonly source: LabelledWorkload | undefined;
  readonly destination: LabelledWorkload | undefined;
  readonly service: { readonly hostname: Maybe; readonly name: Maybe; readonly namespace: Maybe } | undefined;
  /** `mutual_tls` only on evidence, else `unknown`. */
  readonly securityPolicy: string;
}

const UNKNOWN = 'unknown';

/** response_flags of a connection that was established, however it ended. A failed one has `CONNECT`. */
const RESPONSE_FLAGS_SUCCESS = '-';

type Label = (typeof ISTIO_LABELS)[number];

const RULES: Readonly<Record<Label, (peers: LabelledPeers) => Maybe>> = {
  reporter: (p) => p.reporter,
  source_workload: (p) => p.source?.name,
  source_canonical_service: (p) => p.source?.canonicalService,
  source_canonical_revision: (p) => p.source?.canonicalRevision,
  source_workload_namespace: (p) => p.source?.namespace,
  // What TLS proved: in plaintext nothing is, whoever the directory says it was.
  source_principal: (p) => (p.securityPolicy === 'mutual_tls' ? p.source?.principal : undefined),
  source_app: (p) => p.source?.canonicalService,
  source_version: (p) => p.source?.canonicalRevision,
  source_cluster: (p) => p.source?.cluster,
  destination_service: (p) => p.service?.hostname,
  destination_service_namespace: (p) => p.service?.namespace,
  destination_service_name: (p) => p.service?.name,
  destination_workload: (p) => p.destination?.name,
  destination_canonical_service: (p) => p.destination?.canonicalService,
  destination_canonical_revision: (p) => p.destination?.canonicalRevision,
  destination_workload_namespace: (p) => p.destination?.namespace,
  // Whom the client meant to reach: known whenever the workload is, TLS or not.
  destination_principal: (p) => p.destination?.principal,
  destination_app: (p) => p.destination?.canonicalService,
  destination_version: (p) => p.destination?.canonicalRevision,
  destination_cluster: (p) => p.destination?.cluster,
  request_protocol: () => 'tcp',
  response_flags: () => RESPONSE_FLAGS_SUCCESS,
  connection_security_policy: (p) => p.securityPolicy,
  source_region: (p) => p.source?.region,
  source_zone: (p) => p.source?.zone,
  destination_region: (p) => p.destination?.region,
  destination_zone: (p) => p.destination?.zone,
};

/** Values in the order of ISTIO_LABELS, of a successful connection: a failed one differs in response_flags only. */
export function istioLabelValues(peers: LabelledPeers): string[] {
  return ISTIO_LABELS.map((label) => labelValue(label, peers));
}

/** Values in the order of TCP_LABELS. */
export function tcpLabelValues(peers: LabelledPeers): string[] {
  return TCP_LABELS.map((label) => labelValue(label, peers));
}

function labelValue(label: Label, peers: LabelledPeers): string {
  const value = RULES[label](peers);
  if (value === undefined || value === '') return UNKNOWN;
  return value === '-' && label !== 'response_flags' ? UNKNOWN : value;
}
