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
