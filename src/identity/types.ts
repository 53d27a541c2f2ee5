/** Names, and batches that carry them. Exporters import only this file of identity. */
import type { ConnectionRecord, PairBatch, PairSource, Role } from '../receiver/types.ts';

/** One end with a name. Every field but the first two may be unknown; unknown is undefined, never '' or '-'. */
export interface Workload {
  /** The owner, as `reviews-v1`; the systemd unit or the executable on a bare host. Label *_workload. */
  readonly name: string;
  readonly namespace: string | undefined;
  /** The pod's name; log fields src.workload and dst.workload. */
  readonly podName: string | undefined;
  readonly podUid: string | undefined;
  readonly containerId: string | undefined;
  readonly canonicalService: string | undefined;
  readonly canonicalRevision: string | undefined;
  /** `spiffe://<trust domain>/ns/<ns>/sa/<sa>`, undefined where the source knows no service account (host). */
  readonly principal: string | undefined;
  readonly cluster: string | undefined;
  readonly region: string | undefined;
  readonly zone: string | undefined;
  readonly node: string | undefined;
  /** Wall-clock milliseconds when the directory lost it; undefined while it lives. Set in place by the directory. */
  goneSinceMs: number | undefined;
}

export interface Service {
  /** FQDN: label destination_service. */
  readonly hostname: string;
  /** Short name: label destination_service_name. */
  readonly name: string;
  readonly namespace: string | undefined;
}

/** What the node knows of a local end beside its workload: several containers of a pod are one workload. */
export interface LocalContainer {
  /** As the cgroup has it: a static pod's is the hash of its configuration. */
  readonly podUid: string | undefined;
  /** 64 hex digits. */
  readonly containerId: string | undefined;
}

/**
 * Both ends of a pair, as of its first connection. The same object for the same slot and generation, but for the records
 * of a service's connections that met different backends: there it is the same for the same backend.
 */
export interface Peers {
  readonly reporter: Role;
  readonly source: Workload | undefined;
  readonly destination: Workload | undefined;
  readonly service: Service | undefined;
  /** `mutual_tls` only on evidence. */
  readonly securityPolicy: 'mutual_tls' | 'unknown';
  /** Of the local end; absent where its cgroup tells nothing. */
  readonly container?: LocalContainer | undefined;
}

/** A pair batch with a name for each row: peers[i] belongs to row i of `batch`. `restored` rows come first in time, with names of their own; without peers they count for the node alone. */
export interface IdentifiedPairs {
  readonly batch: PairBatch;
  readonly peers: readonly Peers[];
  readonly restored?: readonly { readonly peers: Peers | undefined; readonly values: Float64Array }[];
  /** How long a series outlives its workload (`series_ttl` of the identity processor). undefined: for ever. */
  readonly seriesTtlMs?: number;
}

/** peers[i] belongs to records[i]. */
export interface IdentifiedRecords {
  readonly records: readonly ConnectionRecord[];
  readonly peers: readonly Peers[];
  readonly source: PairSource;
}
