/** The `file` identity source, as small as a test needs it. */
import { renameSync, writeFileSync } from 'node:fs';

export interface TestWorkload {
  /** Pod, owner, canonical service and service account all have this name. */
  readonly name: string;
  /** Owner, canonical service and service account, if the pod has another name. */
  readonly owner?: string;
  /** A pod's, if it is not given. */
  readonly uid?: string;
  readonly ips?: readonly string[];
  /** Paths within the cgroup v2 hierarchy. */
  readonly cgroupPaths?: readonly string[];
  /** What its cgroups call it: a pod's UID. */
  readonly podUids?: readonly string[];
  readonly hostNetwork?: boolean;
  readonly hbone?: boolean;
  /** Services that it backs, by name: port of the service → port of the workload. */
  readonly services?: Readonly<Record<string, Readonly<Record<number, number>>>>;
  /** `ledger` if it is not given. */
  readonly namespace?: string;
}

/** `<name>.<namespace>.svc.cluster.local` */
export interface TestService {
  readonly name: string;
  readonly vips?: readonly string[];
  readonly ports: Readonly<Record<number, number>>;
}

const NAMESPACE = 'ledger';

const hostname = (service: string): string => `${service}.${NAMESPACE}.svc.cluster.local`;

/** Writes the file whole or not at all: a reader that watches it never sees a half. */
export function writeIdentityFile(
  path: string,
  workloads: readonly TestWorkload[],
  services: readonly TestService[] = [],
): void {
  const content = {
    workloads: workloads.map(({ name, owner = name, ips, namespace = NAMESPACE, services: backed = {}, ...more }) => ({
      uid: more.uid ?? `test//Pod/${namespace}/${name}`,
      name,
      namespace,
      serviceAccount: owner,
      workloadName: owner,
      workloadType: 'deployment',
      canonicalName: owner,
      canonicalRevision: 'v1',
      workloadIps: ips ?? [],
      services: Object.fromEntries(
        Object.entries(backed).map(([service, ports]) => [`${NAMESPACE}/${hostname(service)}`, ports]),
      ),
      cgroupPaths: more.cgroupPaths ?? [],
      podUids: more.podUids ?? [],
      networkMode: more.hostNetwork ? 'HostNetwork' : 'Standard',
      protocol: more.hbone ? 'HBONE' : 'TCP',
      node: 'node',
      clusterId: 'Kubernetes',
    })),
    services: services.map(({ name, vips, ports }) => ({
      name,
      namespace: NAMESPACE,
      hostname: hostname(name),
      vips: vips ?? [],
      ports,
    })),
  };
  writeFileSync(`${path}.new`, JSON.stringify(content));
  renameSync(`${path}.new`, path);
}
