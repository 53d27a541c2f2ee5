/**
 * The parts of Envoy's CDS, EDS, LDS and RDS resources that name somebody (envoy.config.cluster.v3.Cluster,
 * …endpoint.v3.ClusterLoadAssignment, …listener.v3.Listener, …route.v3.RouteConfiguration). Addresses are canonical
 * text (src/semconv/address.ts); what names nobody is not kept.
 */
import type { ServiceKey } from '../../objects.ts';
import type { Service } from '../../types.ts';
import type { WorkloadFields } from '../../workload-pool.ts';

/** The service port that a cluster is for. */
export interface ClusterService {
  readonly key: ServiceKey;
  readonly service: Service;
  /** Service port. */
  readonly port: number;
}

export interface Cluster {
  readonly name: string;
  /** undefined: none that a client dials (inbound, pass-through, black hole). */
  readonly service: ClusterService | undefined;
  /** It connects to the address that was dialled: there is no virtual address, and no endpoints are told. */
  readonly originalDestination: boolean;
  /** The name its endpoints have in EDS; undefined if it has them otherwise. */
  readonly edsName: string | undefined;
  /** Its own endpoints, where they do not come by EDS. */
  readonly endpoints: readonly Endpoint[];
  /** The identity that all of its endpoints have: the one SPIFFE SAN that its TLS accepts, if there is exactly one. */
  readonly principal: string | undefined;
}

/** What an endpoint's metadata and locality say about its workload. */
export interface Naming {
  /** Equal for equal namings, and only for those. */
  readonly id: string;
  /** All but the principal, which is the cluster's; undefined if nobody is named. */
  readonly fields: WorkloadFields | undefined;
}

export interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly naming: Naming;
  /** It is reached through a tunnel (HBONE). */
  readonly hbone: boolean;
}

/** A ClusterLoadAssignment. */
export interface Assignment {
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
}

/** Addresses that a client may dial: `length` 32 or 128 for a single one. */
export interface Range {
  readonly address: string;
  readonly length: number;
}

export interface Listener {
  readonly name: string;
  /** The addresses it is bound to; empty if it takes any. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly chains: readonly FilterChain[];
}

export interface FilterChain {
  /** The destinations it is for; empty if it takes any of the listener's. */
  readonly ranges: readonly Range[];
  /** Clusters that TCP connections go to. */
  readonly clusters: readonly string[];
  /** Route configurations that HTTP connections are told by: by name (RDS) and by value. */
  readonly routeNames: readonly string[];
  readonly routes: readonly VirtualHost[];
}

export interface RouteConfiguration {
  readonly name: string;
  readonly hosts: readonly VirtualHost[];
}

export interface VirtualHost {
  /** By Istio's convention `<FQDN>:<port>`. */
  readonly name: string;
  /** Its domains that are addresses. */
  readonly addresses: readonly string[];
  /** One of its domains is `*`. */
  readonly any: boolean;
  readonly clusters: readonly string[];
}
