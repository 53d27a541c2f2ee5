/** The sources of names, each told of the mesh in its own way, and what each can know of it by design. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentOptions } from '../../kernel/support/agent.ts';
import { undoLater } from '../../kernel/support/cleanup.ts';
import { apiServerMissing, startApiServer } from '../../peers/apiserver.ts';
import { istiodMissing, startIstiod } from '../../peers/istiod.ts';
import * as objects from '../conformance/support/objects.ts';
import * as kubernetes from './kubernetes-objects.ts';
import { ELSEWHERE, type Mesh, type MeshPod, NAMESPACE, PODS, podsBehind, portsOf, SERVICES } from './mesh.ts';

/** Of the node that all pods are on. */
const LOCALITY = { node: 'node-a', region: 'eu-1', zone: 'eu-1b' } as const;

export interface Names {
  readonly source: 'file' | 'istiod' | 'kubernetes' | 'ads';
  /** Why it can't be had on this machine; undefined when it can. */
  readonly missing: () => string | undefined;
  /** `all` pods, or only those behind a virtual address: what a sidecar is told of. */
  readonly workloads: 'all' | 'behind a vip';
  /** Services that are not the mesh's. */
  readonly otherServices: number;
  /** Where pods are, if it says. */
  readonly locality: { readonly region: string; readonly zone: string } | undefined;
  /** undefined: it does not know pods, and the log has the canonical service in their place. */
  readonly podName: (pod: MeshPod) => string | undefined;
  readonly start: (mesh: Mesh) => Promise<ToldNames>;
}

export interface ToldNames {
  /** For an agent that has its names there. */
  readonly options: AgentOptions;
  stop(): Promise<void>;
}

const RESOLVE_TIMEOUT = { resolve_timeout: '500ms' } as const;

const file: Names = {
  source: 'file',
  missing: () => undefined,
  workloads: 'all',
  otherServices: 0,
  locality: undefined,
  podName: ({ workload, suffix }) => `${workload}-${suffix}`,
  start: async ({ workloads, services }) => ({
    options: { workloads, services, identity: RESOLVE_TIMEOUT },
    stop: async () => undefined,
  }),
};

const istiod: Names = {
  source: 'istiod',
  missing: istiodMissing,
  workloads: 'all',
  otherServices: 0,
  locality: LOCALITY,
  podName: ({ workload, suffix }) => objects.podName(workload, suffix),
  start: () => fromIstiod('istiod'),
};

const ads: Names = {
  source: 'ads',
  missing: istiodMissing,
  workloads: 'behind a vip',
  otherServices: 0,
  locality: LOCALITY,
  podName: () => undefined,
  start: () => fromIstiod('ads'),
};

/** One control plane serves both: to ztunnels the workload API, to sidecars what they configure themselves by. */
async function fromIstiod(source: 'istiod' | 'ads'): Promise<ToldNames> {
  const control = await startIstiod({ objects: '' });
  await control.apply(objects.yaml(meshObjects()));
  const section = { endpoint: `127.0.0.1:${control.port}`, tls: { insecure: true }, token_file: '' };
  return {
    options: { identity: { sources: [source], [source]: section, ...RESOLVE_TIMEOUT } },
    stop: control.stop,
  };
}

function meshObjects(): objects.KubernetesObject[] {
  const optionsOf = ({ workload, namespace, ip, suffix }: MeshPod): objects.PodOptions => ({
    ...{ workload, namespace, suffix, node: LOCALITY.node },
    ips: [ip],
  });
  return [
    objects.node(LOCALITY.node, LOCALITY.region, LOCALITY.zone),
    ...PODS.map((each) => objects.pod(optionsOf(each))),
    ...SERVICES.flatMap((each) => {
      const [{ name, vip }, ports] = [each, portsOf(each)];
      const pods = podsBehind(each).map(optionsOf);
      const service = { name, app: pods[0]?.workload ?? name, namespace: NAMESPACE, ports };
      return [
        objects.service(vip === undefined ? service : { ...service, vip }),
        ...(pods.length > 0 ? [objects.slice(name, ports, pods)] : []),
      ];
    }),
  ];
}

const kubernetesApi: Names = {
  source: 'kubernetes',
  missing: apiServerMissing,
  workloads: 'all',
  // the API server's own
  otherServices: 1,
  locality: LOCALITY,
  podName: ({ workload, suffix }) => kubernetes.podName(workload, suffix),
  async start() {
    const folder = mkdtempSync(join(tmpdir(), 'tcpledger-kubernetes-'));
    const removeFolder = undoLater(() => rmSync(folder, { recursive: true }));
    const api = await startApiServer();
    await kubernetes.grantRole(api);
    await kubernetes.makeNode(api, LOCALITY.node, LOCALITY.region, LOCALITY.zone);
    for (const namespace of [NAMESPACE, ELSEWHERE]) await kubernetes.makeNamespace(api, namespace);
    const uids = new Map<MeshPod, string>();
    for (const each of PODS) {
      const { workload, namespace, suffix, ip } = each;
      const spec = { deployment: workload, serviceAccount: workload, node: LOCALITY.node, namespace, suffix, ip };
      uids.set(each, await kubernetes.runPod(api, { ...spec, labels: { version: 'v1' } }));
    }
    for (const service of SERVICES) {
      const { name, vip: clusterIp = '' } = service;
      const [port, target] = Object.entries(portsOf(service))[0]!;
      const spec = { name, namespace: NAMESPACE, clusterIp, port: Number(port), target };
      await kubernetes.makeService(api, spec);
      const pods = podsBehind(service).map((each) => ({
        ...{ uid: uids.get(each)!, ip: each.ip },
        name: kubernetes.podName(each.workload, each.suffix),
      }));
      if (pods.length > 0) await kubernetes.makeSlice(api, spec, target, pods);
    }
    const kubeconfig = kubernetes.writeKubeconfig(api, join(folder, 'kubeconfig'));
    return {
      options: { identity: { sources: ['kubernetes'], kubernetes: { kubeconfig }, ...RESOLVE_TIMEOUT } },
      async stop() {
        await api.stop();
        removeFolder();
      },
    };
  },
};

export const NAMES: readonly Names[] = [file, istiod, kubernetesApi, ads];
