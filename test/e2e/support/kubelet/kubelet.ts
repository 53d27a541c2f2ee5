/** A kubelet as far as one container of a pod that has the host's network goes; runc is its runtime. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchIn } from '../../../kernel/support/agent.ts';
import { undoLater } from '../../../kernel/support/cleanup.ts';
import { run, runSync } from '../../../kernel/support/command.ts';
import { isHybrid, removeCgroups } from '../../../kernel/support/container.ts';
import { eventually } from '../../../kernel/support/eventually.ts';
import type { Namespace } from '../../../kernel/support/namespace.ts';
import type { ApiServer } from '../../../peers/apiserver.ts';
import type { Image } from './image.ts';
import type { Manifest } from './manifest.ts';
import { type RuntimeOptions, runtimeSpec } from './runtime-spec.ts';
import { fieldOf, layOut } from './volumes.ts';

/** Why this machine cannot run containers; undefined when it can. */
export function runtimeMissing(): string | undefined {
  try {
    runSync('runc', ['--version']);
    return undefined;
  } catch (error) {
    return `no runc (package runc): ${(error as Error).message}`;
  }
}

export interface KubeletOptions {
  readonly api: ApiServer;
  readonly image: Image;
  /** Whose network is the node's, and its address there. */
  readonly namespace: Namespace;
  readonly ip: string;
  /** Where paths of the node are on this machine; what is not named is where it is called. */
  readonly paths: Readonly<Record<string, string>>;
  /** What the cluster's DNS would say, as lines of /etc/hosts: there is no such DNS. */
  readonly hosts: readonly string[];
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningPod {
  /** Process id on the machine, which is that on the node. */
  readonly pid: number;
  readonly cgroupPath: string;
  stdout(): string;
  stderr(): string;
  /** What one of the container's probes is answered: the status, and the body. */
  probe(name: 'startupProbe' | 'readinessProbe' | 'livenessProbe'): Promise<{ status: number; body: string }>;
  get(path: string): Promise<{ status: number; body: string }>;
  /** `kubectl exec`. */
  exec(...command: string[]): Promise<Ended>;
  /** What a kubelet does once a minute: the files of its volumes become what the API server says now. */
  sync(): Promise<void>;
  /** SIGTERM, and SIGKILL when the pod's time is over. Resolves when the container and its volumes are gone. */
  terminate(): Promise<number | null>;
}

export interface Kubelet {
  /** Resolves when the container runs. */
  start(pod: Manifest, options?: Partial<RuntimeOptions>): Promise<RunningPod>;
  remove(): void;
}

export function kubelet(options: KubeletOptions): Kubelet {
  const root = `tcpl-${process.pid}-kubelet`;
  const directory = mkdtempSync(join(tmpdir(), 'tcpledger-kubelet-'));
  const remove = undoLater(() => {
    rmSync(directory, { recursive: true });
    removeCgroups(root);
  });
  return {
    remove,
    async start(pod, runtime = {}) {
      const { api, ip, namespace } = options;
      const { namespace: podNamespace, name, uid } = pod.metadata;
      const hostIp = { hostIP: ip, hostIPs: [{ ip }], podIP: ip, podIPs: [{ ip }] };
      const report = (phase: string): Promise<Manifest> =>
        api.call('PATCH', `/api/v1/namespaces/${podNamespace}/pods/${name}/status`, { status: { phase, ...hostIp } });
      const known = await report('Pending');
      const podDirectory = join(directory, uid);
      const host = {
        ...{ api, directory: join(podDirectory, 'volumes') },
        path: (ofNode: string) => options.paths[ofNode] ?? ofNode,
      };
      const id = uid.replaceAll('-', '').padStart(64, '0');
      const cgroupPath = `/${root}/kubepods/burstable/pod${uid}/${id}`;
      mkdirSync(podDirectory, { recursive: true });
      const spec = runtimeSpec(known, {
        ...{ seccompDefault: false, cgroupNamespace: !isHybrid(), ...runtime },
        image: options.image,
        env: await environment(known, api),
        volumes: await layOut(known, host),
        files: ownFiles(podDirectory, options.hosts),
        cgroupsPath: cgroupPath,
        hostNetwork: `/run/netns/${namespace.name}`,
      });
      writeFileSync(join(podDirectory, 'config.json'), JSON.stringify(spec));
      const container = await startContainer(['--root', join(directory, 'runc')], podDirectory, id);
      await report('Running');
      const [{ ports, ...probes }] = known.spec.containers;
      const get = (path: string, port: number) => fetchIn(namespace)(`http://${ip}:${port}${path}`);
      return {
        ...container,
        cgroupPath,
        get: (path) => get(path, ports[0].containerPort),
        probe(kind) {
          const { path, port } = probes[kind].httpGet;
          return get(path, ports.find(({ name: portName }: Manifest) => portName === port).containerPort);
        },
        sync: async () => void (await layOut(known, host)),
        async terminate() {
          const code = await container.terminate(known.spec.terminationGracePeriodSeconds);
          rmSync(podDirectory, { recursive: true });
          await api.call('DELETE', `/api/v1/namespaces/${podNamespace}/pods/${name}?gracePeriodSeconds=0`);
          return code;
        },
      };
    },
  };
}

/** The container's own variables, and where the API server is, as each container is told. */
async function environment(pod: Manifest, api: ApiServer): Promise<Record<string, string>> {
  const { spec }: Manifest = await api.call('GET', '/api/v1/namespaces/default/services/kubernetes');
  const own = pod.spec.containers[0].env.map(({ name, value, valueFrom }: Manifest) => [
    name,
    value ?? fieldOf(pod, valueFrom.fieldRef.fieldPath),
  ]);
  return {
    HOSTNAME: hostname(),
    KUBERNETES_SERVICE_HOST: spec.clusterIP,
    KUBERNETES_SERVICE_PORT: String(spec.ports[0].port),
    KUBERNETES_SERVICE_PORT_HTTPS: String(spec.ports[0].port),
    KUBERNETES_PORT: `tcp://${spec.clusterIP}:${spec.ports[0].port}`,
    ...Object.fromEntries(own),
  };
}

function ownFiles(directory: string, hosts: readonly string[]): Record<string, string> {
  const texts = {
    '/etc/hosts': ['# Kubernetes-managed hosts file (host network).', '127.0.0.1\tlocalhost', ...hosts, ''].join('\n'),
    '/etc/hostname': `${hostname()}\n`,
    '/etc/resolv.conf':
      'search tcpledger.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.2\noptions ndots:5\n',
    '/dev/termination-log': '',
  };
  return Object.fromEntries(
    Object.entries(texts).map(([path, text]) => {
      const file = join(directory, path.replaceAll('/', '_'));
      writeFileSync(file, text);
      return [path, file];
    }),
  );
}

async function startContainer(runc: readonly string[], bundle: string, id: string) {
  const child = spawn('runc', [...runc, 'run', '--bundle', bundle, id], { stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'close') as Promise<[number | null]>;
  const written = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      written[stream] += text;
    });
  }
  const ended = () => child.exitCode !== null || child.signalCode !== null;
  const forget = undoLater(() => {
    if (!ended()) runSync('runc', [...runc, 'delete', '--force', id]);
  });
  const signal = (name: string) => run('runc', [...runc, 'kill', id, name]);
  const pid = await eventually(async () => {
    if (ended()) return undefined;
    const state = JSON.parse(await run('runc', [...runc, 'state', id])) as { pid: number; status: string };
    if (state.status !== 'running') throw new Error(`the container ${id} is ${state.status}`);
    return state.pid;
  });
  if (pid === undefined) throw new Error(`the container ended with ${child.exitCode}:\n${written.stderr}`);
  return {
    pid,
    stdout: () => written.stdout,
    stderr: () => written.stderr,
    exec: (...command: string[]) =>
      new Promise<Ended>((resolve) => {
        execFile('runc', [...runc, 'exec', id, ...command], (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
        );
      }),
    async terminate(graceSeconds: number) {
      await signal('TERM');
      const late = setTimeout(() => void signal('KILL'), graceSeconds * 1000);
      const [code] = await exited;
      clearTimeout(late);
      forget();
      return code;
    },
  };
}
