/** From Kubernetes' objects to the directory's: pure, with the cluster's names. */

import { fullLength } from '../../../semconv/address.ts';
import type { PortMap, ServiceKey, ServiceObject, Vip, WorkloadObject } from '../../objects.ts';
import { shared } from './shared-text.ts';
import type { KubeNode, KubeService, Namespace, Pod } from './trimmed.ts';

export interface ClusterNames {
  readonly trustDomain: string;
  readonly clusterId: string;
  readonly clusterDomain: string;
  /** '' for any: the pods whose processes may be here. */
  readonly nodeName: string;
}

export interface PodSurroundings {
  readonly node: KubeNode | undefined;
  readonly namespace: Namespace | undefined;
  readonly services: ReadonlyMap<ServiceKey, PortMap>;
}

const NO_CGROUPS: readonly number[] = [];

export function podWorkload(
  pod: Pod,
  { node, namespace, services }: PodSurroundings,
  names: ClusterNames,
): WorkloadObject {
  const here = names.nodeName === '' || pod.node === names.nodeName;
  return {
    uid: pod.uid,
    fields: {
      name: pod.workload,
      namespace: pod.namespace,
      podName: pod.name,
      podUid: pod.uid,
      containerId: undefined,
      canonicalService: pod.canonicalService,
      canonicalRevision: pod.canonicalRevision,
      principal: shared(`spiffe://${names.trustDomain}/ns/${pod.namespace}/sa/${pod.serviceAccount}`),
      cluster: names.clusterId,
      region: node?.region,
      zone: node?.zone,
      node: pod.node || undefined,
    },
    addresses: pod.addresses,
    network: '',
    hostNetwork: pod.hostNetwork,
    pod: true,
    hbone: pod.hbone ?? namespace?.ambient ?? false,
    cgroups: NO_CGROUPS,
    ...(here && { podUids: [pod.uid.toLowerCase(), ...pod.hashes] }),
    services,
  };
}

export const serviceKey = (service: KubeService, names: ClusterNames): ServiceKey =>
  `${service.namespace}/${hostname(service, names)}`;

/** `isNode`: of an address. A load balancer on the nodes themselves makes no node's address the service's. */
export function serviceObject(
  service: KubeService,
  names: ClusterNames,
  isNode: (address: string) => boolean,
): ServiceObject {
  const outer = service.outerIps.filter((address) => !isNode(address));
  const vips = [...new Set([...service.clusterIps, ...outer])];
  return {
    key: serviceKey(service, names),
    service: { hostname: hostname(service, names), name: service.name, namespace: service.namespace },
    vips: vips.map((address): Vip => ({ network: '', address, length: fullLength(address) })),
    ports: new Map(service.ports.map(({ port, target }) => [port, target])),
    canonical: true,
  };
}

const hostname = ({ name, namespace }: KubeService, { clusterDomain }: ClusterNames): string =>
  `${name}.${namespace}.svc.${clusterDomain}`;
