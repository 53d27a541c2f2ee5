/** Which capabilities this process has, from CapEff in /proc/self/status. */
import { hasCapability, missingCapabilities, NEEDED_CAPABILITIES } from '../../receiver/capabilities.ts';
import type { Finding } from './finding.ts';
import type { Machine } from './machine.ts';

export function privileges(machine: Machine): Finding {
  const status = machine.read('/proc/self/status') ?? '';
  const missing = missingCapabilities(status);
  const detail = hasCapability(status, 'CAP_SYS_ADMIN') ? 'CAP_SYS_ADMIN' : NEEDED_CAPABILITIES.join(', ');
  return {
    feature: 'privileges',
    ok: missing.length === 0,
    detail: missing.length === 0 ? detail : `${missing.join(' and ')} missing`,
    mend: `run as root, or as a service with AmbientCapabilities=${NEEDED_CAPABILITIES.join(' ')}`,
  };
}

/** For where the kernel half cannot be loaded to find out: whether the connect hooks would be allowed. */
export function connectHooks(machine: Machine): Finding {
  const status = machine.read('/proc/self/status') ?? '';
  const ok = hasCapability(status, 'CAP_NET_ADMIN') || hasCapability(status, 'CAP_SYS_ADMIN');
  return {
    feature: 'connect hooks',
    ok,
    detail: ok ? 'allowed' : 'CAP_NET_ADMIN missing',
    mend: 'grant CAP_NET_ADMIN too; until then services behind a load balancer on the socket are named by their target port, and connects without a route are not counted',
    optional: true,
  };
}

/** Where the v2 hierarchy does not tell pods, the network namespaces of their processes do. */
export function otherProcesses(machine: Machine): Finding {
  const ok = hasCapability(machine.read('/proc/self/status') ?? '', 'CAP_SYS_PTRACE');
  return {
    feature: 'processes of pods',
    ok,
    detail: ok ? 'CAP_SYS_PTRACE' : 'CAP_SYS_PTRACE missing, and v1 control groups: pods are named by address only',
    mend: 'grant CAP_SYS_PTRACE too, by which processes tell their network namespaces, or boot with systemd.unified_cgroup_hierarchy=1',
    optional: true,
  };
}
