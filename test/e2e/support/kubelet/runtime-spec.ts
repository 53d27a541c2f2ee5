/** What containerd makes of a container of a pod that has the host's network and processes: an OCI bundle's config.json. */
import { readFileSync } from 'node:fs';
import type { Image } from './image.ts';
import type { Manifest } from './manifest.ts';
import { defaultSeccompProfile } from './seccomp-profile.ts';
import type { Volume } from './volumes.ts';

/** In what runtimes differ. */
export interface RuntimeOptions {
  /** A kubelet with --seccomp-default. */
  readonly seccompDefault: boolean;
  /** As where all control groups are v2. */
  readonly cgroupNamespace: boolean;
}

export interface ContainerPlace extends RuntimeOptions {
  readonly image: Image;
  readonly env: Readonly<Record<string, string>>;
  readonly volumes: ReadonlyMap<string, Volume>;
  /** `/etc/hosts` and the like: files that the kubelet mounts into each container, by their path there. */
  readonly files: Readonly<Record<string, string>>;
  /** Within each hierarchy. */
  readonly cgroupsPath: string;
  /** Path of the network namespace that is the node's. */
  readonly hostNetwork: string;
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const MASKED_PATHS = [
  ...['asound', 'acpi', 'kcore', 'keys', 'latency_stats', 'timer_list', 'timer_stats', 'sched_debug', 'scsi'].map(
    (name) => `/proc/${name}`,
  ),
  ...['/proc/interrupts', '/sys/firmware', '/sys/devices/virtual/powercap'],
];
const READ_ONLY_PATHS = ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'].map((name) => `/proc/${name}`);

const PSEUDO = ['nosuid', 'noexec', 'nodev'];
const DEFAULT_MOUNTS = [
  { destination: '/proc', type: 'proc', source: 'proc', options: PSEUDO },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  {
    ...{ destination: '/dev/pts', type: 'devpts', source: 'devpts' },
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
  },
  { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: [...PSEUDO, 'mode=1777', 'size=65536k'] },
  { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: PSEUDO },
  { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...PSEUDO, 'ro'] },
  { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [...PSEUDO, 'relatime', 'ro'] },
];

/** systemd's for services: what a container gets that asks for none. Lower where this machine's are. */
const limits = () => [
  { type: 'RLIMIT_NOFILE', soft: 1024, hard: Math.min(524_288, ownHardLimit('Max open files')) },
  { type: 'RLIMIT_MEMLOCK', soft: 8 << 20, hard: 8 << 20 },
];

function ownHardLimit(name: string): number {
  const [, hard] = new RegExp(`^${name}\\s+\\S+\\s+(\\S+)`, 'm').exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  return hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard);
}

/** @throws Error where the pod asks for what is not told here. */
export function runtimeSpec(pod: Manifest, place: ContainerPlace): unknown {
  const [container] = pod.spec.containers;
  const { securityContext } = container;
  if (!pod.spec.hostNetwork || !pod.spec.hostPID) throw new Error('network and processes must be the host’s');
  if (securityContext.privileged || !securityContext.capabilities.drop.includes('ALL')) {
    throw new Error('only containers that drop ALL capabilities are told here');
  }
  const capabilities = securityContext.capabilities.add.map((name: string) => `CAP_${name}`);
  return {
    ociVersion: '1.0.2',
    process: {
      user: { uid: securityContext.runAsUser, gid: 0 },
      args: [...place.image.entrypoint, ...container.args],
      cwd: place.image.workingDirectory,
      env: Object.entries({ PATH, ...place.env }).map(([name, value]) => `${name}=${value}`),
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      rlimits: limits(),
      noNewPrivileges: !securityContext.allowPrivilegeEscalation,
    },
    root: { path: place.image.rootfs, readonly: securityContext.readOnlyRootFilesystem },
    mounts: mountsOf(container, place),
    linux: {
      cgroupsPath: place.cgroupsPath,
      resources: resourcesOf(container),
      namespaces: [
        ...['mount', 'ipc', ...(place.cgroupNamespace ? ['cgroup'] : [])].map((type) => ({ type })),
        { type: 'network', path: place.hostNetwork },
      ],
      ...(place.seccompDefault && { seccomp: defaultSeccompProfile(capabilities) }),
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READ_ONLY_PATHS,
    },
  };
}

/** Parents first. One of the pod's takes the place of a default one. */
function mountsOf(container: Manifest, { volumes, files }: ContainerPlace): unknown[] {
  const bind = (source: string, destination: string, readOnly: boolean) => ({
    ...{ destination, type: 'bind', source },
    options: ['rbind', 'rprivate', readOnly ? 'ro' : 'rw'],
  });
  const own = [
    ...Object.entries(files).map(([destination, source]) => bind(source, destination, false)),
    ...container.volumeMounts.map(({ name, mountPath, readOnly }: Manifest) => {
      const volume = volumes.get(name)!;
      return bind(volume.source, mountPath, volume.readOnly || readOnly === true);
    }),
  ];
  const depth = ({ destination }: { destination: string }) => destination.split('/').length;
  const taken = new Set(own.map(({ destination }) => destination));
  return [
    ...DEFAULT_MOUNTS.filter(({ destination }) => !taken.has(destination)),
    ...own.sort((one, other) => depth(one) - depth(other)),
  ];
}

const UNITS: Readonly<Record<string, number>> = { Mi: 2 ** 20, m: 1 / 1000 };

function quantity(text: string): number {
  const [, number, unit] = /^(\d+)(Mi|m)?$/.exec(text) ?? [];
  if (number === undefined) throw new Error(`the quantity ${text} is not told here`);
  return Number(number) * (unit === undefined ? 1 : UNITS[unit]!);
}

const resourcesOf = ({ resources }: Manifest): unknown => ({
  devices: [{ allow: false, access: 'rwm' }],
  memory: { limit: quantity(resources.limits.memory) },
  cpu: { shares: Math.floor(quantity(resources.requests.cpu) * 1024) },
});
