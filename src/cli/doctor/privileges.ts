/** Which capabilities this process has, from CapEff in /proc/self/status (linux/capability.h has the numbers). */
import type { Finding } from './finding.ts';
import type { Machine } from './machine.ts';

const CAPABILITIES = { CAP_SYS_ADMIN: 21, CAP_PERFMON: 38, CAP_BPF: 39 } as const;
type Capability = keyof typeof CAPABILITIES;

/** Each may be stood in for by CAP_SYS_ADMIN, as the kernel allows. */
const NEEDED: readonly Capability[] = ['CAP_BPF', 'CAP_PERFMON'];

export function privileges(machine: Machine): Finding {
  const effective = effectiveCapabilities(machine);
  const has = (capability: Capability) => (effective >> BigInt(CAPABILITIES[capability])) % 2n === 1n;
  const missing = has('CAP_SYS_ADMIN') ? [] : NEEDED.filter((capability) => !has(capability));
  return {
    feature: 'privileges',
    ok: missing.length === 0,
    detail:
      missing.length === 0
        ? has('CAP_SYS_ADMIN')
          ? 'CAP_SYS_ADMIN'
          : NEEDED.join(', ')
        : `${missing.join(' and ')} missing`,
    mend: `run as root, or as a service with AmbientCapabilities=${NEEDED.join(' ')}`,
  };
}

function effectiveCapabilities(machine: Machine): bigint {
  const mask = /^CapEff:\s*([0-9a-f]+)/m.exec(machine.read('/proc/self/status') ?? '')?.[1];
  return mask === undefined ? 0n : BigInt(`0x${mask}`);
}
