/**
 * A workload in the terms of Istio's workload API, as the file layout and istiod give it, turned into what the
 * directory holds. Both elide defaults: an empty trust domain, service account or cluster id is the usual one.
 */
import { canonicalAddress } from '../semconv/address.ts';
import type { PortMap, ServiceKey, WorkloadObject } from './objects.ts';

export interface MeshWorkload {
  readonly uid: string;
  /** The pod's name. */
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly trustDomain: string;
  readonly workloadName: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  /** Any spelling. */
  readonly addresses: readonly string[];
  readonly network: string;
  readonly hostNetwork: boolean;
  readonly hbone: boolean;
  readonly node: string;
  readonly clusterId: string;
  readonly region: string;
  readonly zone: string;
  readonly services: ReadonlyMap<ServiceKey, PortMap>;
  /** Where the layout tells them, the pod's UID first: see WorkloadObject. */
  readonly podUids?: readonly string[];
}

const DEFAULT_TRUST_DOMAIN = 'cluster.local';
const DEFAULT_SERVICE_ACCOUNT = 'default';
const DEFAULT_CLUSTER = 'Kubernetes';

/** Uids of pods, as `Kubernetes//Pod/default/reviews-v1-7f9`; those of workload entries name another kind. */
const POD_UID = /\/pod\//i;

const known = (text: string): string | undefined => (text === '' ? undefined : text);

const NONE: readonly string[] = [];

export const spiffeId = (trustDomain: string, namespace: string, serviceAccount: string): string =>
  `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;

/** `principal` may give one string for many workloads of one service account. */
export function meshWorkload(
  workload: MeshWorkload,
  cgroups: readonly number[],
  principal: typeof spiffeId = spiffeId,
): WorkloadObject {
  const { namespace, podUids = NONE } = workload;
  const trustDomain = workload.trustDomain || DEFAULT_TRUST_DOMAIN;
  const serviceAccount = workload.serviceAccount || DEFAULT_SERVICE_ACCOUNT;
  return {
    uid: workload.uid,
    fields: {
      name: workload.workloadName || workload.name,
      namespace: known(namespace),
      podName: known(workload.name),
      podUid: podUids[0],
      containerId: undefined,
      canonicalService: known(workload.canonicalName),
      canonicalRevision: known(workload.canonicalRevision),
      // A SPIFFE id needs a namespace: a process on a bare host has neither.
      principal: namespace === '' ? undefined : principal(trustDomain, namespace, serviceAccount),
      cluster: workload.clusterId || DEFAULT_CLUSTER,
      region: known(workload.region),
      zone: known(workload.zone),
      node: known(workload.node),
    },
    addresses: canonical(workload.addresses),
    network: workload.network,
    hostNetwork: workload.hostNetwork,
    pod: POD_UID.test(workload.uid),
    hbone: workload.hbone,
    cgroups,
    podUids,
    services: workload.services,
  };
}

/** The same list where all are canonical already, as binary ones are. */
function canonical(addresses: readonly string[]): readonly string[] {
  if (addresses.every((address) => canonicalAddress(address) === address)) return addresses;
  return addresses.flatMap((address) => canonicalAddress(address) ?? []);
}
