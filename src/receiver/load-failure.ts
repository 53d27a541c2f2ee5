/** Why the kernel refused the programs, and what to do: exit code 3 with the capability or the feature that is missing. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { TcpledgerError } from '../collector/errors.ts';
import { errnoName } from './libbpf.ts';

const EPERM = 1;
const EACCES = 13;

const CAP_SYS_ADMIN = 21;
const CAP_PERFMON = 38;
const CAP_BPF = 39;

/**
 * Capabilities that loading and attaching need and that this process lacks. CAP_SYS_ADMIN stands for all of them.
 * `status` is the text of /proc/<pid>/status.
 */
export function missingCapabilities(status: string = readFileSync('/proc/self/status', 'latin1')): string[] {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status);
  const bits = BigInt(`0x${effective?.[1] ?? '0'}`);
  const has = (capability: number) => ((bits >> BigInt(capability)) & 1n) === 1n;
  if (has(CAP_SYS_ADMIN)) return [];
  return [...(has(CAP_BPF) ? [] : ['CAP_BPF']), ...(has(CAP_PERFMON) ? [] : ['CAP_PERFMON'])];
}

/** `errno` of the failed load or attach (0 where libbpf gives none), and what the verifier left. */
export function loadFailure(
  errno: number,
  verifierLog: string,
  missing: readonly string[] = missingCapabilities(),
): TcpledgerError {
  if (missing.length > 0) {
    return new TcpledgerError(
      'TCPL_E_PRIVILEGE',
      `cannot load the BPF programs: this process lacks ${missing.join(', ')}. Run it as root, or give it these capabilities (systemd: AmbientCapabilities=${missing.join(' ')}; container: --cap-add).`,
    );
  }
  const log = verifierLog.trim().split('\n').slice(-6).join('\n');
  const reason = errno === 0 ? 'the program could not be attached' : errnoName(errno);
  const refused = errno === EPERM || errno === EACCES;
  return new TcpledgerError(
    'TCPL_E_KERNEL_FEATURE',
    `cannot load the BPF programs on kernel ${release()}: ${reason}. ${
      refused
        ? 'The kernel refuses them in spite of the capabilities: look for kernel lockdown (cat /sys/kernel/security/lockdown) or a container profile that forbids bpf(2).'
        : 'The agent needs Linux 5.15 or newer; tcpledger doctor says which feature is missing.'
    }${log ? ` The verifier said:\n${log}` : ''}`,
  );
}
