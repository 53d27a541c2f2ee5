/**
 * `tcpledger doctor`: a line for each thing that the agent needs or could use, with the mend where it is missing. Exit
 * code 0 if the agent can run, else what `run` would end with. Goes as far as it can without privileges, libraries or the built kernel half.
 */
import { VERSION } from '../../build-info.ts';
import type { OptionValues } from '../arguments.ts';
import { configFile } from '../config-file.ts';
import type { Configured } from '../doctor/configured.ts';
import { conntrack } from '../doctor/conntrack.ts';
import { exitCode, type Finding } from '../doctor/finding.ts';
import {
  bpfFileSystem,
  controlGroups,
  hasVersionOneGroups,
  kernelTypes,
  lockdown,
  runStatistics,
} from '../doctor/kernel.ts';
import { libraries } from '../doctor/libraries.ts';
import { thisMachine as machine } from '../doctor/machine.ts';
import { connectHooks, otherProcesses, privileges } from '../doctor/privileges.ts';
import { render } from '../doctor/render.ts';
import { kernelVersion, nodeVersion } from '../doctor/versions.ts';

export async function doctor(options: OptionValues): Promise<number> {
  const needed: Finding[] = [
    nodeVersion(machine),
    ...(await libraries(machine)),
    kernelVersion(machine),
    kernelTypes(machine),
    privileges(machine),
  ];
  // Without these a probe could only say once more, and less clearly, what is missing.
  const loads = needed.every((finding) => finding.ok);
  const probed = loads ? await probe() : [connectHooks(machine)];
  // The components bring the kernel loader, which cannot even be read where koffi is missing.
  const {
    findings,
    pins,
    pods,
    conntrack: asked,
  } = has(needed, 'koffi') ? await configuration(configFile(options)) : NOTHING_CONFIGURED;
  const all = [
    ...needed,
    ...probed,
    lockdown(machine),
    runStatistics(machine),
    controlGroups(machine),
    ...(pods && hasVersionOneGroups(machine) ? [otherProcesses(machine)] : []),
    ...(asked ? [await trackedConnections()] : []),
    bpfFileSystem(machine, pins),
    ...findings,
  ];
  process.stdout.write(render(`tcpledger ${VERSION}`, all));
  return exitCode(all);
}

const NOTHING_CONFIGURED: Configured = { findings: [], pins: false, pods: false, conntrack: false };

const has = (findings: readonly Finding[], feature: string) =>
  findings.some((finding) => finding.feature === feature && finding.ok);

/** Loads and attaches the real thing, and takes it off again. */
async function probe(): Promise<readonly Finding[]> {
  const { probeKernel } = await import('../../receiver/probe.ts');
  return probeKernel();
}

async function trackedConnections(): Promise<Finding> {
  const { findObstacle } = await import('../../identity/conntrack/availability.ts');
  return conntrack(findObstacle());
}

async function configuration(file: string): Promise<Configured> {
  const { configured } = await import('../doctor/configured.ts');
  return configured(file);
}
