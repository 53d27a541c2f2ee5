/**
 * Containers of pods, made by runc as a kubelet has its runtime make them: in a cgroup tree of either driver's shape,
 * in a network namespace of their own or the host's. In each runs a peer. The tree hangs below a directory of its own
 * (a kubelet's --cgroup-root), so that it is nobody else's.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cgroupRoot } from './cgroup.ts';
import { undoLater } from './cleanup.ts';
import { run, runSync } from './command.ts';
import { eventually } from './eventually.ts';
import type { Namespace } from './namespace.ts';
import { Peer } from './peer.ts';
import { peerProgram } from './tool.ts';

/** What programs need of the machine they were built on. */
const LIBRARIES = ['/usr', '/lib', '/lib64'];

export type CgroupDriver = 'cgroupfs' | 'systemd';

export interface ContainerOptions {
  readonly podUid: string;
  readonly driver: CgroupDriver;
  /** Of the pod; undefined: the host's. */
  readonly network?: Namespace;
}

export interface Container {
  readonly id: string;
  /** Within each hierarchy. */
  readonly cgroupPath: string;
  readonly peer: Peer;
  /** Process id of the peer, outside. */
  readonly pid: number;
  /** Ends it. Its cgroups go with the node. */
  remove(): Promise<void>;
}

/** A node that runs pods: what its containers leave behind is taken away with it. */
export interface ContainerNode {
  start(options: ContainerOptions): Promise<Container>;
  remove(): void;
}

let made = 0;

export function containerNode(): ContainerNode {
  const root = `tcpl-${process.pid}-${made++}`;
  const directory = mkdtempSync(join(tmpdir(), 'tcpledger-node-'));
  const remove = undoLater(() => {
    rmSync(directory, { recursive: true });
    removeCgroups(root);
  });
  let containers = 0;
  return {
    async start(options) {
      const number = containers++;
      const id = (process.pid * 1000 + number).toString(16).padStart(64, '0');
      const cgroupPath = `/${root}/${podPath(options, id)}`;
      const bundle = join(directory, `${number}`);
      mkdirSync(join(bundle, 'rootfs'), { recursive: true });
      writeFileSync(join(bundle, 'config.json'), JSON.stringify(await bundleConfig(options, cgroupPath)));
      return startContainer(join(directory, 'state'), bundle, id, cgroupPath);
    },
    remove,
  };
}

/** As kubelets name them: pods of the class Burstable, containers as containerd is told to call them. */
function podPath({ driver, podUid }: ContainerOptions, id: string): string {
  if (driver === 'cgroupfs') return `kubepods/burstable/pod${podUid}/${id}`;
  const pod = `kubepods-burstable-pod${podUid.replaceAll('-', '_')}.slice`;
  return `kubepods.slice/kubepods-burstable.slice/${pod}/cri-containerd-${id}.scope`;
}

async function bundleConfig({ network }: ContainerOptions, cgroupsPath: string): Promise<unknown> {
  const readOnly = (source: string, destination: string) => ({
    type: 'bind',
    source,
    destination,
    options: ['rbind', 'ro'],
  });
  return {
    ociVersion: '1.0.2',
    process: { user: { uid: 0, gid: 0 }, args: ['/peer', 'play'], cwd: '/', env: [], noNewPrivileges: true },
    root: { path: 'rootfs' },
    mounts: [
      { type: 'proc', source: 'proc', destination: '/proc' },
      ...LIBRARIES.filter((path) => existsSync(path)).map((path) => readOnly(path, path)),
      readOnly(await peerProgram(), '/peer'),
    ],
    linux: {
      cgroupsPath,
      namespaces: [
        ...['pid', 'mount', 'ipc', 'uts'].map((type) => ({ type })),
        ...(network === undefined ? [] : [{ type: 'network', path: `/run/netns/${network.name}` }]),
      ],
    },
  };
}

async function startContainer(state: string, bundle: string, id: string, cgroupPath: string): Promise<Container> {
  const peer = Peer.behind(['runc', '--root', state, 'run', '--bundle', bundle], [id]);
  const forget = undoLater(() => runSync('runc', ['--root', state, 'delete', '--force', id]));
  const { pid } = await eventually(async () => {
    const { pid, status } = JSON.parse(await run('runc', ['--root', state, 'state', id])) as {
      pid: number;
      status: string;
    };
    if (status !== 'running') throw new Error(`the container ${id} is ${status}`);
    return { pid };
  });
  return {
    id,
    cgroupPath,
    peer,
    pid,
    async remove() {
      forget();
      await peer.gone();
    },
  };
}

/** Where the v2 hierarchy is mounted, and each of v1. */
function hierarchies(): string[] {
  const lines = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return lines.flatMap((line) => {
    const [, directory, type] = line.split(' ');
    return type === 'cgroup' || type === 'cgroup2' ? [directory!] : [];
  });
}

/** Whether this host has v1 hierarchies beside the v2 one. */
export const isHybrid = (): boolean => hierarchies().some((directory) => directory !== cgroupRoot());

/** Takes away a tree of cgroups that no process is in, from every hierarchy. `root`: its name below the root. */
export function removeCgroups(root: string): void {
  for (const hierarchy of hierarchies()) removeTree(join(hierarchy, root));
}

function removeTree(directory: string): void {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(directory, entry.name));
  }
  rmdirSync(directory);
}
