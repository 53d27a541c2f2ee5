/** Why the kernel refused the programs, and what to do: exit code 3 with the capability or the feature that is missing. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { TcpledgerError } from '../collector/errors.ts';
import { missingCapabilities } from './capabilities.ts';
import { errnoName } from './libbpf.ts';

const EPERM = 1;
const EACCES = 13;

/** `errno` of the failed load or attach (0 where libbpf gives none), and what the verifier left. */
export function loadFailure(
  errno: number,
  verifierLog: string,
  missing: readonly string[] = missingCapabilities(readFileSync('/proc/self/status', 'latin1')),
): TcpledgerError {
  if (missing.length > 0) {
    return new TcpledgerError(
      'TCPL_E_PRIVILEGE',
      `cannot load the BPF programs: this process lacks ${missing.join(', ')}. Run it as root, or give it these capabilities (systemd: AmbientCapabilities=${missing.join(' ')}; container: --cap-add).`,
    );
  }
  const log = verifierLog.trim().split('\n').slice(-6).join('\n');
  const reason = errno === 0 ? 'the program could not be attached' : errnoName(errno);
  return new TcpledgerError(
    'TCPL_E_KERNEL_FEATURE',
    `cannot load the BPF programs on kernel ${release()}: ${reason}. ${whatToDo(errno, log)}`,
  );
}

function whatToDo(errno: number, log: string): string {
  if (log !== '') {
    return `The agent needs Linux 5.15 or newer; on such a kernel it is a defect of the agent, to be reported with what the verifier said:\n${log}`;
  }
  if (errno === EPERM || errno === EACCES) {
    return 'The kernel refuses them in spite of the capabilities: look for kernel lockdown (cat /sys/kernel/security/lockdown) or a container profile that forbids bpf(2).';
  }
  return 'The agent needs Linux 5.15 or newer; tcpledger doctor says which feature is missing.';
}
