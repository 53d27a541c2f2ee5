/** Node and the kernel against the oldest that work. */
import type { Finding } from './finding.ts';
import type { Machine } from './machine.ts';

const OLDEST_NODE = [20, 6] as const;
/** Everything the kernel half uses is there since 5.15 (bpf_for_each_map_elem in syscall programs being the last). */
const OLDEST_KERNEL = [5, 15] as const;

export function nodeVersion(machine: Machine): Finding {
  return {
    feature: 'Node',
    ok: atLeast(machine.nodeVersion, OLDEST_NODE),
    detail: `${machine.nodeVersion}, needed is ${OLDEST_NODE.join('.')} or newer`,
    mend: 'install a newer Node: https://nodejs.org/en/download',
  };
}

export function kernelVersion(machine: Machine): Finding {
  return {
    feature: 'kernel',
    ok: atLeast(machine.kernelRelease, OLDEST_KERNEL),
    detail: `${machine.kernelRelease}, needed is ${OLDEST_KERNEL.join('.')} or newer`,
    mend: 'boot a newer kernel',
  };
}

function atLeast(version: string, oldest: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
}
