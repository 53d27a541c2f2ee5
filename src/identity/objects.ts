/**
 * What sources push into the directory: workloads and services in the terms of Istio's workload API, which the file
 * layout, istiod and the Kubernetes source share. Addresses are canonical text (src/semconv/address.ts).
 */
import type { Service } from './types.ts';
import type { WorkloadFields } from './workload-pool.ts';

/** `<namespace>/<hostname>`, the name of a service in the workload API. */
export type ServiceKey = string;

/** Service port → target port. A target port 0 is a named one: each workload has its own number. */
export type PortMap = ReadonlyMap<number, number>;

export interface WorkloadObject {
  /** Unique within its source; what removal names. */
  readonly uid: string;
  readonly fields: WorkloadFields;
  /** Its own addresses. Not indexed where `hostNetwork`: they are the node's, and name nobody. */
  readonly addresses: readonly string[];
  readonly network: string;
  readonly hostNetwork: boolean;
  /** Rank among workloads that claim one address: pods before others, then those that speak HBONE. */
  readonly pod: boolean;
  readonly hbone: boolean;
  readonly cgroups: readonly number[];
  /**
   * What the node's cgroups call its pod: the pod's UID, and for a static pod what the kubelet calls it instead (the
   * annotations kubernetes.io/config.hash and config.mirror). Absent where the source knows none.
   */
  readonly podUids?: readonly string[];
  readonly services: ReadonlyMap<ServiceKey, PortMap>;
}

export interface Vip {
  readonly network: string;
  readonly address: string;
  /** 32 or 128 for a single address. */
  readonly length: number;
  /** The only service port for which it is the service's; absent: the address is the service's whatever the port. */
  readonly port?: number;
}

export interface ServiceObject {
  readonly key: ServiceKey;
  readonly service: Service;
  readonly vips: readonly Vip[];
  readonly ports: PortMap;
  /** Preferred where several services claim one VIP. */
  readonly canonical: boolean;
}
