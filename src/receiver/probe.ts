/** Loads, attaches and runs the kernel half for a moment, and takes it off again: what this kernel really allows. */
import { bpfObjectPath } from '../build-info.ts';
import type { Kernel, KernelOptions } from './kernel.ts';
import { errnoName } from './libbpf.ts';
import { openKernel } from './open-kernel.ts';

export interface ProbeFinding {
  readonly feature: string;
  readonly ok: boolean;
  /** The agent runs without it. */
  readonly optional?: boolean;
  readonly detail: string;
  readonly mend?: string;
}

/** Small maps: the probe takes less than a megabyte of kernel memory. */
const PROBE_OPTIONS: KernelOptions = {
  objectPath: '',
  maxPairs: 64,
  maxConnections: 4096,
  ringBytes: 4096,
  loopback: true,
  adopt: false,
  pinPath: '',
  connectHooks: true,
  onAttaching: () => {},
};

export async function probeKernel(open: typeof openKernel = openKernel): Promise<readonly ProbeFinding[]> {
  const options = { ...PROBE_OPTIONS, objectPath: bpfObjectPath() };
  let kernel: Kernel;
  try {
    kernel = await open(options);
  } catch (error) {
    return [{ feature: 'programs', ok: false, detail: (error as Error).message }];
  }
  const findings: ProbeFinding[] = [
    { feature: 'programs', ok: true, detail: 'load, attach to the tracepoint inet_sock_set_state' },
  ];
  findings.push(
    kernel.connectHooksMissing === undefined
      ? { feature: 'connect hooks', ok: true, detail: 'what applications dial is seen' }
      : {
          feature: 'connect hooks',
          ok: false,
          optional: true,
          detail: kernel.connectHooksMissing,
          mend: 'grant CAP_NET_ADMIN and mount a cgroup2 file system; until then services behind a load balancer on the socket are named by their target port, and connects without a route are not counted',
        },
  );
  const code = await kernel.settle();
  await kernel.close();
  findings.push(
    code < 0
      ? {
          feature: 'settle',
          ok: false,
          optional: true,
          detail: `the kernel refuses to run a syscall program: ${errnoName(-code)}`,
          mend: 'bytes of open connections are then counted at their close; Linux 5.15 or newer without lockdown allows it',
        }
      : { feature: 'settle', ok: true, detail: 'open connections can be read' },
  );
  try {
    await (await open({ ...options, adopt: true })).close();
    findings.push({
      feature: 'adopt',
      ok: true,
      detail: 'connections that are older than the agent can be taken over',
    });
  } catch (error) {
    findings.push({
      feature: 'adopt',
      ok: false,
      detail: (error as Error).message,
      mend: 'set receivers.ebpf_tcp.adopt to false',
    });
  }
  return findings;
}
