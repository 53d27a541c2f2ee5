/** Kubernetes and Istio objects as an API server would hold them, as small as istiod needs them. JSON is YAML, too. */

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** Documents of one YAML text. */
export const yaml = (objects: readonly KubernetesObject[]): string =>
  objects.map((object) => JSON.stringify(object)).join('\n---\n');

const HASH = '5d4f8c7b9';
const NODE = 'node-a';

export interface PodOptions {
  /** Name of its Deployment. */
  readonly workload: string;
  readonly namespace: string;
  readonly ips: readonly string[];
  /** Tells it from others of the Deployment: the pod is called `<workload>-5d4f8c7b9-<suffix>`. */
  readonly suffix?: string;
  /** Over `app: <workload>` and `version: v1`. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Its workload's name if it is not given; '' for the namespace's default. */
  readonly serviceAccount?: string;
  readonly node?: string;
  readonly hostNetwork?: boolean;
  /** ztunnel carries its traffic. */
  readonly captured?: boolean;
  /** Container ports by name. */
  readonly ports?: Readonly<Record<string, number>>;
}

export const podName = (workload: string, suffix = 'aaaaa'): string => `${workload}-${HASH}-${suffix}`;

const podUid = (namespace: string, name: string): string => `uid-${namespace}-${name}`;

export function pod({ workload, namespace, ips, suffix, labels, ...more }: PodOptions): KubernetesObject {
  const name = podName(workload, suffix);
  const metadata = {
    name,
    namespace,
    uid: podUid(namespace, name),
    annotations: more.captured ? { 'ambient.istio.io/redirection': 'enabled' } : {},
    labels: { app: workload, version: 'v1', 'pod-template-hash': HASH, ...labels },
    ownerReferences: [
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `${workload}-${HASH}`, uid: 'uid-rs', controller: true },
    ],
  };
  const ports = Object.entries(more.ports ?? {}).map(([port, containerPort]) => ({ name: port, containerPort }));
  const spec = {
    serviceAccountName: more.serviceAccount ?? workload,
    nodeName: more.node ?? NODE,
    hostNetwork: more.hostNetwork ?? false,
    containers: [{ name: 'main', ports }],
  };
  const status = {
    phase: 'Running',
    podIP: ips[0],
    podIPs: ips.map((ip) => ({ ip })),
    conditions: [{ type: 'Ready', status: 'True' }],
  };
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec, status } as KubernetesObject;
}

export interface ServiceOptions {
  readonly name: string;
  readonly namespace: string;
  /** Headless if it is not given. */
  readonly vip?: string;
  /** `app` label of the pods behind it; the service's name if it is not given. */
  readonly app?: string;
  /** Port of the service → port of the pod, or its name. */
  readonly ports: Readonly<Record<number, number | string>>;
}

export function service({ name, namespace, vip, app = name, ports }: ServiceOptions): KubernetesObject {
  const spec = {
    clusterIP: vip ?? 'None',
    selector: { app },
    ports: Object.entries(ports).map(([port, targetPort]) => ({ name: `p${port}`, port: Number(port), targetPort })),
  };
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec } as KubernetesObject;
}

/** As the controller of endpoint slices makes it: the pods behind a service. `ports`: as the service's, by number. */
export function slice(
  service: string,
  ports: Readonly<Record<number, number>>,
  pods: readonly PodOptions[],
): KubernetesObject {
  const { namespace } = pods[0]!;
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${service}-1`, namespace, labels: { 'kubernetes.io/service-name': service } },
    addressType: 'IPv4',
    ports: Object.entries(ports).map(([port, target]) => ({ name: `p${port}`, port: target, protocol: 'TCP' })),
    endpoints: pods.map(({ workload, suffix, ips, node = NODE }) => {
      const name = podName(workload, suffix);
      return {
        addresses: ips,
        nodeName: node,
        conditions: { ready: true },
        targetRef: { kind: 'Pod', namespace, name, uid: podUid(namespace, name) },
      };
    }),
  } as KubernetesObject;
}

export const fqdn = (name: string, namespace: string): string => `${name}.${namespace}.svc.cluster.local`;

export function node(name: string, region: string, zone: string): KubernetesObject {
  const labels = { 'topology.kubernetes.io/region': region, 'topology.kubernetes.io/zone': zone };
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } } as KubernetesObject;
}

/** A machine that is no pod. */
export function workloadEntry(name: string, namespace: string, address: string): KubernetesObject {
  const spec = { address, labels: { app: name }, serviceAccount: name };
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadEntry',
    metadata: { name, namespace, labels: { app: name } },
    spec,
  } as KubernetesObject;
}

/** Nobody may speak to the pods with that `app` label. */
export function denyAll(app: string, namespace: string): KubernetesObject {
  const spec = { selector: { matchLabels: { app } }, action: 'DENY', rules: [{}] };
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: `deny-${app}`, namespace },
    spec,
  } as KubernetesObject;
}
