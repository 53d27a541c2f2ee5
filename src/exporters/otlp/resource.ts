/** Who sends: the resource and the scope of everything that leaves by OTLP (telemetry.md §2). */
import { hostname } from 'node:os';

/** The instrumentation scope of logs and metrics; its version is the build's. */
export const SCOPE_NAME = 'tcpledger';

export type ResourceAttributes = Readonly<Record<string, string>>;

/**
 * `node` and `cluster` where known. The Kubernetes manifests give them as NODE_NAME and CLUSTER_NAME (downward API and
 * chart value), the only place from which an agent knows them before any identity source has answered.
 */
export function resourceAttributes(version: string, environment: NodeJS.ProcessEnv = process.env): ResourceAttributes {
  const node = environment.NODE_NAME;
  const cluster = environment.CLUSTER_NAME;
  return {
    'service.name': 'tcpledger',
    'service.version': version,
    'host.name': hostname(),
    ...(node ? { 'k8s.node.name': node } : {}),
    ...(cluster ? { 'k8s.cluster.name': cluster } : {}),
  };
}
