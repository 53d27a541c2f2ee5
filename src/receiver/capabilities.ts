/** The privileges that loading and attaching need (linux/capability.h has the numbers). No library is loaded by this file. */
const NUMBERS = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_PERFMON: 38, CAP_BPF: 39 } as const;
type Capability = keyof typeof NUMBERS;

/** CAP_SYS_ADMIN stands for both, as the kernel allows. */
export const NEEDED_CAPABILITIES: readonly Capability[] = ['CAP_BPF', 'CAP_PERFMON'];

/** `status`: the text of /proc/<pid>/status. */
export function hasCapability(status: string, capability: Capability): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> BigInt(NUMBERS[capability])) & 1n) === 1n;
}

/** Those that this process needs and lacks. */
export function missingCapabilities(status: string): Capability[] {
  if (hasCapability(status, 'CAP_SYS_ADMIN')) return [];
  return NEEDED_CAPABILITIES.filter((capability) => !hasCapability(status, capability));
}
