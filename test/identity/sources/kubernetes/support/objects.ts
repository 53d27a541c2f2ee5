/** Kubernetes objects as a cluster has them, with what a test does not care about filled in. */
import type { KubeObject } from './scripted-server.ts';

export interface PodOptions {
  readonly namespace?: string;
  readonly uid?: string;
  readonly ip?: string;
  readonly ips?: readonly string[];
  readonly phase?: string;
  readonly node?: string;
  readonly serviceAccount?: string;
  readonly hostNetwork?: boolean;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly generateName?: string;
  readonly owners?: readonly object[];
}

/** A pod that stands for itself unless `generateName` and `owners` say otherwise. */
export function pod(name: string, options: PodOptions = {}): KubeObject {
  const {
    namespace = 'default',
    uid = `uid-${name}`,
    phase = 'Running',
    node = 'node-1',
    ips = options.ip ? [options.ip] : [],
  } = options;
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: {
      name,
      namespace,
      uid,
      ...(options.labels && { labels: options.labels }),
      ...(options.annotations && { annotations: options.annotations }),
      ...(options.generateName && { generateName: options.generateName }),
      ...(options.owners && { ownerReferences: options.owners }),
      managedFields: [{ manager: 'kubelet', fieldsV1: { 'f:status': {} } }],
    },
    spec: {
      nodeName: node,
      ...(options.serviceAccount && { serviceAccountName: options.serviceAccount }),
      ...(options.hostNetwork && { hostNetwork: true }),
      containers: [{ name: 'main', image: 'image', env: [{ name: 'ESCAPED', value: '"}]{\\' }] }],
    },
    status: { phase, ...(ips.length > 0 && { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) }) },
  };
}

/** A pod of a Deployment, as its ReplicaSet makes it. */
export function deploymentPod(deployment: string, suffix: string, options: PodOptions = {}): KubeObject {
  const hash = '7656cf8794';
  return pod(`${deployment}-${hash}-${suffix}`, {
    generateName: `${deployment}-${hash}-`,
    owners: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `${deployment}-${hash}`, controller: true }],
    ...options,
    labels: { 'pod-template-hash': hash, app: deployment, ...options.labels },
  });
}

export interface ServiceOptions {
  readonly namespace?: string;
  readonly uid?: string;
  readonly clusterIps?: readonly string[];
  readonly ports?: readonly object[];
  readonly selector?: Record<string, string> | undefined;
  readonly externalIps?: readonly string[];
  readonly ingress?: readonly object[];
}

export function service(name: string, options: ServiceOptions = {}): KubeObject {
  const {
    namespace = 'default',
    uid = `uid-service-${name}`,
    clusterIps = [],
    ports = [{ port: 80, targetPort: 8080 }],
  } = options;
  return {
    kind: 'Service',
    apiVersion: 'v1',
    metadata: { name, namespace, uid },
    spec: {
      ...(clusterIps.length > 0 && { clusterIP: clusterIps[0], clusterIPs: clusterIps }),
      ports,
      ...('selector' in options ? { selector: options.selector } : { selector: { app: name } }),
      ...(options.externalIps && { externalIPs: options.externalIps }),
    },
    status: { loadBalancer: options.ingress ? { ingress: options.ingress } : {} },
  };
}

/** An endpoint: the pod itself, or an address that stands for none. */
export function slice(
  serviceName: string,
  endpoints: readonly (KubeObject | string)[],
  options: { readonly namespace?: string; readonly uid?: string; readonly ports?: readonly object[] } = {},
): KubeObject {
  const { namespace = 'default', uid = `uid-slice-${serviceName}`, ports = [{ name: '', port: 8080 }] } = options;
  return {
    kind: 'EndpointSlice',
    apiVersion: 'discovery.k8s.io/v1',
    metadata: { name: `${serviceName}-${uid}`, namespace, uid, labels: { 'kubernetes.io/service-name': serviceName } },
    addressType: 'IPv4',
    ports,
    endpoints: endpoints.map((endpoint) =>
      typeof endpoint === 'string'
        ? { addresses: [endpoint] }
        : {
            addresses: endpoint.status.podIPs?.map(({ ip }: { ip: string }) => ip) ?? [],
            targetRef: { kind: 'Pod', name: endpoint.metadata.name, namespace, uid: endpoint.metadata.uid },
          },
    ),
  };
}

export function node(name: string, labels: Record<string, string> = {}, addresses: readonly string[] = []): KubeObject {
  return {
    kind: 'Node',
    apiVersion: 'v1',
    metadata: { name, uid: `uid-node-${name}`, labels },
    status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
  };
}

export const namespace = (name: string, labels: Record<string, string> = {}): KubeObject => ({
  kind: 'Namespace',
  apiVersion: 'v1',
  metadata: { name, uid: `uid-namespace-${name}`, labels },
});
