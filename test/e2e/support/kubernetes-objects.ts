/** Makes objects in a real API server as the controllers of a cluster would: nothing else of a cluster runs. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import type { ApiServer } from '../../peers/apiserver.ts';

const RBAC = join(import.meta.dirname, '../../../deploy/rbac.yaml');

/** Gives the user `agent` the role of deploy/rbac.yaml. */
export async function grantRole(api: ApiServer): Promise<void> {
  const objects = parseAllDocuments(readFileSync(RBAC, 'utf8')).map((document) => document.toJS());
  const role = objects.find(({ kind }) => kind === 'ClusterRole');
  const binding = objects.find(({ kind }) => kind === 'ClusterRoleBinding');
  await api.call('POST', '/apis/rbac.authorization.k8s.io/v1/clusterroles', role);
  await api.call('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    ...binding,
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'agent' }],
  });
}

/** A kubeconfig of the user `agent`. */
export function writeKubeconfig(api: ApiServer, path: string): string {
  writeFileSync(
    path,
    stringify({
      'current-context': 'agent',
      contexts: [{ name: 'agent', context: { cluster: 'test', user: 'agent' } }],
      clusters: [{ name: 'test', cluster: { server: api.url, 'certificate-authority': api.caFile } }],
      users: [{ name: 'agent', user: { token: api.agentToken } }],
    }),
  );
  return path;
}

export interface PodSpec {
  /** Of the Deployment; the pod's name is made of it and `suffix`. */
  readonly deployment: string;
  readonly suffix: string;
  readonly namespace: string;
  readonly ip: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly serviceAccount?: string;
  readonly node?: string;
}

const TEMPLATE_HASH = '7656cf8794';

export const podName = (deployment: string, suffix: string): string => `${deployment}-${TEMPLATE_HASH}-${suffix}`;

/** As its ReplicaSet and its kubelet make it: created, then running at its address. Resolves to the pod's uid. */
export async function runPod(api: ApiServer, spec: PodSpec): Promise<string> {
  const { deployment, suffix, namespace, ip, serviceAccount = 'default', node = 'node-1' } = spec;
  const replicaSet = `${deployment}-${TEMPLATE_HASH}`;
  const name = podName(deployment, suffix);
  const owner = {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    name: replicaSet,
    uid: `${replicaSet}-uid`,
    controller: true,
  };
  const pod = await api.call('POST', `/api/v1/namespaces/${namespace}/pods`, {
    metadata: {
      name,
      generateName: `${replicaSet}-`,
      labels: { app: deployment, 'pod-template-hash': TEMPLATE_HASH, ...spec.labels },
      ownerReferences: [owner],
    },
    spec: { serviceAccountName: serviceAccount, nodeName: node, containers: [{ name: 'main', image: 'image' }] },
  });
  await api.call('PATCH', `/api/v1/namespaces/${namespace}/pods/${name}/status`, {
    status: { phase: 'Running', podIP: ip, podIPs: [{ ip }] },
  });
  return (pod.metadata as { uid: string }).uid;
}

/** At once, as when its kubelet has confirmed the end. */
export async function deletePod(api: ApiServer, { deployment, suffix, namespace }: PodSpec): Promise<void> {
  const name = podName(deployment, suffix);
  await api.call('DELETE', `/api/v1/namespaces/${namespace}/pods/${name}?gracePeriodSeconds=0`);
}

export const makeNamespace = (api: ApiServer, name: string) =>
  api.call('POST', '/api/v1/namespaces', { metadata: { name } });

export const makeNode = (api: ApiServer, name: string, region: string, zone: string) =>
  api.call('POST', '/api/v1/nodes', {
    metadata: { name, labels: { 'topology.kubernetes.io/region': region, 'topology.kubernetes.io/zone': zone } },
  });

export interface ServiceSpec {
  readonly name: string;
  readonly namespace: string;
  /** '' for headless. */
  readonly clusterIp: string;
  readonly port: number;
  /** A number, or the name of a port that each pod has its own of. */
  readonly target: number | string;
}

export async function makeService(
  api: ApiServer,
  { name, namespace, clusterIp, port, target }: ServiceSpec,
): Promise<void> {
  await api.call('POST', `/api/v1/namespaces/${namespace}/services`, {
    metadata: { name },
    spec: {
      selector: { app: name },
      clusterIP: clusterIp || 'None',
      ports: [{ name: 'tcp', port, targetPort: target }],
    },
  });
}

/** As the endpoint slice controller makes it: the pods of a service with the number of its port on them. */
export async function makeSlice(
  api: ApiServer,
  service: ServiceSpec,
  port: number,
  pods: readonly { readonly uid: string; readonly ip: string; readonly name: string }[],
): Promise<void> {
  const { name, namespace } = service;
  await api.call('POST', `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`, {
    metadata: { generateName: `${name}-`, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'tcp', port, protocol: 'TCP' }],
    endpoints: pods.map(({ uid, ip, name: pod }) => ({
      addresses: [ip],
      conditions: { ready: true },
      targetRef: { kind: 'Pod', namespace, name: pod, uid },
    })),
  });
}
