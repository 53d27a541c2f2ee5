/** What the running kernel offers, as its files under /sys and /proc tell it. */
import type { Finding } from './finding.ts';
import type { Machine } from './machine.ts';

const BTF = '/sys/kernel/btf/vmlinux';

export function kernelTypes(machine: Machine): Finding {
  const ok = machine.readable(BTF);
  return {
    feature: 'kernel types (BTF)',
    ok,
    detail: ok ? BTF : `${BTF} is missing or cannot be read`,
    mend: 'boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (every current distribution kernel is); in a container mount /sys',
  };
}

/** Under `confidentiality` BPF programs may not read kernel memory by address. */
export function lockdown(machine: Machine): Finding {
  const state = /\[(\w+)\]/.exec(machine.read('/sys/kernel/security/lockdown') ?? '')?.[1] ?? 'none';
  return {
    feature: 'kernel lockdown',
    ok: state !== 'confidentiality',
    detail: state,
    mend: 'boot with lockdown=integrity or less, else the counters of open connections may move only when they close',
    optional: true,
  };
}

export function runStatistics(machine: Machine): Finding {
  const on = machine.read('/proc/sys/kernel/bpf_stats_enabled')?.trim() === '1';
  return {
    feature: 'BPF run statistics',
    ok: on,
    detail: on ? 'kernel.bpf_stats_enabled=1' : 'off: no tcpledger_bpf_run_seconds_total, tcpledger_bpf_runs_total',
    mend: 'sysctl -w kernel.bpf_stats_enabled=1 (costs some nanoseconds for each run of a program)',
    optional: true,
  };
}

/** Whether processes may be grouped by v1 hierarchies, so that the v2 one tells nothing of them. */
export const hasVersionOneGroups = (machine: Machine): boolean => mountPoints(machine, 'cgroup').length > 0;

/** Sockets are told apart by their cgroup's id in the v2 hierarchy, which a v1-only machine does not have. */
export function controlGroups(machine: Machine): Finding {
  const mounts = mountPoints(machine, 'cgroup2');
  const hybrid = hasVersionOneGroups(machine);
  const detail =
    mounts.length === 0
      ? 'no cgroup2 mount'
      : `cgroup2 at ${mounts.join(', ')}${hybrid ? ', beside v1 (hybrid): processes may all be in its root' : ''}`;
  return {
    feature: 'control groups',
    ok: mounts.length > 0,
    detail,
    mend: 'mount -t cgroup2 none /sys/fs/cgroup/unified, or boot with systemd.unified_cgroup_hierarchy=1; until then local ends are named by process or address',
    optional: true,
  };
}

export function bpfFileSystem(machine: Machine, needed: boolean): Finding {
  const mounts = mountPoints(machine, 'bpf');
  return {
    feature: 'BPF file system',
    ok: mounts.length > 0,
    detail: mounts.length > 0 ? `mounted at ${mounts.join(', ')}` : 'not mounted',
    mend: 'mount -t bpf bpf /sys/fs/bpf; only a configuration with pin_path needs it',
    ...(needed ? {} : { optional: true }),
  };
}

/** Where file systems of this type are mounted in this mount namespace. */
function mountPoints(machine: Machine, type: string): string[] {
  const rows = (machine.read('/proc/self/mounts') ?? '').split('\n').map((line) => line.split(' '));
  return rows.flatMap(([, point, fsType]) => (fsType === type && point !== undefined ? [point] : []));
}
