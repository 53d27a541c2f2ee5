/** The `file` identity source, as small as a test needs it. */
import { renameSync, writeFileSync } from 'node:fs';

export interface TestWorkload {
  /** Pod, owner and canonical service all have this name. */
  readonly name: string;
  readonly ips?: readonly string[];
  /** Paths within the cgroup v2 hierarchy. */
  readonly cgroupPaths?: readonly string[];
}

const NAMESPACE = 'ledger';

/** Writes the file whole or not at all: a reader that watches it never sees a half. */
export function writeIdentityFile(path: string, workloads: readonly TestWorkload[]): void {
  const content = {
    workloads: workloads.map(({ name, ips, cgroupPaths }) => ({
      uid: `test//Pod/${NAMESPACE}/${name}`,
      name,
      namespace: NAMESPACE,
      serviceAccount: name,
      workloadName: name,
      workloadType: 'deployment',
      canonicalName: name,
      canonicalRevision: 'v1',
      workloadIps: ips ?? [],
      ...(cgroupPaths === undefined ? {} : { cgroupPaths }),
      protocol: 'TCP',
      node: 'node',
      clusterId: 'Kubernetes',
    })),
  };
  writeFileSync(`${path}.new`, JSON.stringify(content));
  renameSync(`${path}.new`, path);
}
