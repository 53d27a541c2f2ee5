/** The volumes of a pod, as a kubelet lays them out on its node. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ApiServer } from '../../../peers/apiserver.ts';
import { writeFiles } from './atomic-files.ts';
import type { Manifest } from './manifest.ts';

export interface VolumeHost {
  readonly api: ApiServer;
  /** Where the volumes are made that the kubelet makes. */
  readonly directory: string;
  /** Where a path of the node is on this machine. */
  readonly path: (ofNode: string) => string;
}

export interface Volume {
  /** On this machine. */
  readonly source: string;
  /** Mounted so whatever the container asks for. */
  readonly readOnly: boolean;
}

type Files = Record<string, string>;

/** Lays out all of them, or, where they are laid out already, brings them up to date. By name. */
export async function layOut(pod: Manifest, host: VolumeHost): Promise<ReadonlyMap<string, Volume>> {
  const volumes = new Map<string, Volume>();
  for (const { name, ...kinds } of pod.spec.volumes) volumes.set(name, await volumeOf(name, kinds, pod, host));
  return volumes;
}

async function volumeOf(name: string, kinds: Manifest, pod: Manifest, host: VolumeHost): Promise<Volume> {
  if (kinds.hostPath) return { source: hostPath(kinds.hostPath, host), readOnly: false };
  const source = join(host.directory, name);
  writeFiles(source, await filesOf(kinds, pod, host.api));
  return { source, readOnly: true };
}

function hostPath({ path, type }: Manifest, host: VolumeHost): string {
  const source = host.path(path);
  if (type === 'DirectoryOrCreate') mkdirSync(source, { recursive: true, mode: 0o755 });
  else if (type !== 'Directory') throw new Error(`hostPath ${path}: what the type ${type} asks for is not told here`);
  if (!existsSync(source)) throw new Error(`hostPath ${path}: hostPath type check failed: no such directory`);
  return source;
}

async function filesOf(kinds: Manifest, pod: Manifest, api: ApiServer): Promise<Files> {
  const { configMap, projected } = kinds;
  if (configMap) return configMapFiles(configMap, pod, api);
  if (!projected) throw new Error(`volumes of the kind ${Object.keys(kinds)} are not told here`);
  const files: Files = {};
  for (const source of projected.sources) {
    if (source.configMap) Object.assign(files, await configMapFiles(source.configMap, pod, api));
    else if (source.serviceAccountToken) Object.assign(files, await tokenFile(source.serviceAccountToken, pod, api));
    else if (source.downwardAPI) Object.assign(files, downwardFiles(source.downwardAPI, pod));
    else throw new Error(`projected sources of the kind ${Object.keys(source)} are not told here`);
  }
  return files;
}

async function configMapFiles({ name, items, optional }: Manifest, pod: Manifest, api: ApiServer): Promise<Files> {
  const path = `/api/v1/namespaces/${pod.metadata.namespace}/configmaps/${name}`;
  const found: Manifest = await api.call('GET', path).catch((error: Error) => {
    if (optional && error.message.includes(': 404 ')) return { data: {} };
    throw error;
  });
  const data: Files = found.data ?? {};
  if (items === undefined) return data;
  return Object.fromEntries(items.map((item: Manifest) => [item.path, data[item.key]!]));
}

/** By a TokenRequest, bound to the pod. */
async function tokenFile({ audience, path, expirationSeconds }: Manifest, pod: Manifest, api: ApiServer) {
  const { namespace, name, uid } = pod.metadata;
  const account = `/api/v1/namespaces/${namespace}/serviceaccounts/${pod.spec.serviceAccountName}/token`;
  const request: Manifest = await api.call('POST', account, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: {
      ...(audience && { audiences: [audience] }),
      expirationSeconds,
      boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
    },
  });
  return { [path]: request.status.token as string };
}

function downwardFiles({ items }: Manifest, pod: Manifest): Files {
  return Object.fromEntries(items.map(({ path, fieldRef }: Manifest) => [path, fieldOf(pod, fieldRef.fieldPath)]));
}

/** A field of the pod as the downward API tells it. */
export function fieldOf(pod: Manifest, path: string): string {
  if (path === 'status.podIPs') return pod.status.podIPs.map(({ ip }: Manifest) => ip).join(',');
  const value = path.split('.').reduce((object, key) => object?.[key], pod);
  if (typeof value !== 'string') throw new Error(`the pod has no ${path}`);
  return value;
}
