/** The checks of `tcpledger doctor`, told about machines that this one is not. */
import { describe, expect, it } from 'vitest';
import { conntrack } from '../../src/cli/doctor/conntrack.ts';
import { exitCode, type Finding } from '../../src/cli/doctor/finding.ts';
import {
  bpfFileSystem,
  controlGroups,
  hasVersionOneGroups,
  kernelTypes,
  lockdown,
  runStatistics,
} from '../../src/cli/doctor/kernel.ts';
import type { Machine } from '../../src/cli/doctor/machine.ts';
import { connectHooks, otherProcesses, privileges } from '../../src/cli/doctor/privileges.ts';
import { kernelVersion, nodeVersion } from '../../src/cli/doctor/versions.ts';
import { obstacle } from '../../src/identity/conntrack/availability.ts';

function machine(files: Record<string, string> = {}, kernelRelease = '6.1.0-18-amd64', node = '20.20.2'): Machine {
  return { read: (path) => files[path], readable: (path) => path in files, kernelRelease, nodeVersion: node };
}

const capabilities = (mask: string) => machine({ '/proc/self/status': `Name:\tnode\nCapEff:\t${mask}\nCapBnd:\t0\n` });

describe('versions', () => {
  it.each([
    ['5.15.0', true],
    ['5.14.21-150500.53-default', false],
    ['6.1.0-18-amd64', true],
    ['4.19.300', false],
    ['10.0-rc1', true],
  ])('kernel %s: %s', (release, ok) => {
    expect(kernelVersion(machine({}, release)).ok).toBe(ok);
  });

  it.each([
    ['20.6.0', true],
    ['20.5.1', false],
    ['18.20.0', false],
    ['24.0.0', true],
  ])('Node %s: %s', (version, ok) => {
    expect(nodeVersion(machine({}, '6.1.0', version)).ok).toBe(ok);
  });
});

describe('privileges', () => {
  it.each([
    ['000001ffffffffff', 'CAP_SYS_ADMIN'],
    ['0000000000200000', 'CAP_SYS_ADMIN'],
    ['000000c000000000', 'CAP_BPF, CAP_PERFMON'],
  ])('CapEff %s suffices', (mask, detail) => {
    expect(privileges(capabilities(mask))).toMatchObject({ ok: true, detail });
  });

  it.each([
    ['0000000000000000', 'CAP_BPF and CAP_PERFMON missing'],
    ['0000008000000000', 'CAP_PERFMON missing'],
    ['0000004000000000', 'CAP_BPF missing'],
    ['0000000000001000', 'CAP_BPF and CAP_PERFMON missing'],
  ])('CapEff %s: %s', (mask, detail) => {
    expect(privileges(capabilities(mask))).toMatchObject({ ok: false, detail });
  });

  it('that cannot be read are none', () => {
    expect(privileges(machine()).ok).toBe(false);
  });
});

describe('privileges that it can do without', () => {
  it.each([
    ['0000000000001000', true, 'CAP_NET_ADMIN'],
    ['0000000000200000', true, 'CAP_SYS_ADMIN'],
    ['000000c000000000', false, 'neither'],
  ])('CapEff %s for the connect hooks: %s (%s)', (mask, ok) => {
    const finding = connectHooks(capabilities(mask));
    expect(finding).toMatchObject({ ok, optional: true, mend: expect.stringContaining('CAP_NET_ADMIN') });
  });

  it.each([
    ['0000000000080000', true, 'CAP_SYS_PTRACE'],
    ['0000000000200000', false, 'CAP_SYS_ADMIN does not stand for it'],
  ])('CapEff %s for the namespaces of processes: %s (%s)', (mask, ok) => {
    const finding = otherProcesses(capabilities(mask));
    expect(finding).toMatchObject({ ok, optional: true, mend: expect.stringContaining('CAP_SYS_PTRACE') });
  });
});

describe('connection tracking', () => {
  it('is there, or there is none to miss', () => {
    expect(conntrack(undefined)).toMatchObject({ ok: true, detail: expect.stringContaining('which backend') });
    expect(conntrack(obstacle('ABSENT'))).toMatchObject({ ok: true, detail: expect.stringContaining('not loaded') });
  });

  it.each([
    ['EPERM', 'CAP_NET_ADMIN is missing', 'grant CAP_NET_ADMIN; until then'],
    ['EINVAL', 'nf_conntrack_netlink is missing', 'load the kernel module nf_conntrack_netlink; until then'],
    ['SILENT', 'does not answer', 'processors.identity.conntrack to false; until then'],
    ['EIO', 'EIO', 'processors.identity.conntrack to false; until then'],
  ])('cannot be asked (%s), and what to do', (reason, detail, mend) => {
    expect(conntrack(obstacle(reason))).toMatchObject({
      ok: false,
      optional: true,
      detail: expect.stringContaining(detail),
      mend: expect.stringContaining(mend),
    });
  });
});

describe('the exit code', () => {
  const found = (finding: Partial<Finding>): Finding => ({ feature: 'f', ok: false, detail: '', ...finding });
  it.each<[string, number, readonly Finding[]]>([
    ['all is well', 0, [found({ ok: true }), found({ ok: true, code: 'TCPL_E_CONFIG' })]],
    ['only what is optional is missing', 0, [found({ optional: true })]],
    ['the kernel or a privilege is missing', 3, [found({}), found({ code: 'TCPL_E_ENDPOINT' })]],
    ['the configuration is at fault', 2, [found({}), found({ code: 'TCPL_E_CONFIG' })]],
    ['the port is taken', 1, [found({ code: 'TCPL_E_ENDPOINT' }), found({ optional: true })]],
    ['the place for pins is not to be had', 1, [found({ code: 'TCPL_E_PIN' })]],
  ])('%s: %i', (_, code, findings) => {
    expect(exitCode(findings)).toBe(code);
  });
});

describe('the kernel', () => {
  it('has its types or not', () => {
    expect(kernelTypes(machine({ '/sys/kernel/btf/vmlinux': '' })).ok).toBe(true);
    expect(kernelTypes(machine())).toMatchObject({ ok: false, detail: expect.stringContaining('vmlinux is missing') });
  });

  it.each([
    [undefined, true, 'none'],
    ['[none] integrity confidentiality\n', true, 'none'],
    ['none [integrity] confidentiality\n', true, 'integrity'],
    ['none integrity [confidentiality]\n', false, 'confidentiality'],
  ])('lockdown %j', (text, ok, detail) => {
    const files = text === undefined ? {} : { '/sys/kernel/security/lockdown': text };
    expect(lockdown(machine(files))).toMatchObject({ ok, detail, optional: true });
  });

  it('keeps run statistics or not', () => {
    expect(runStatistics(machine({ '/proc/sys/kernel/bpf_stats_enabled': '1\n' })).ok).toBe(true);
    expect(runStatistics(machine({ '/proc/sys/kernel/bpf_stats_enabled': '0\n' })).ok).toBe(false);
  });

  const V2 = 'cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n';
  const V1 = 'cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n';
  const HYBRID = `${V1}cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n`;
  it.each([
    ['v2', V2, true, 'cgroup2 at /sys/fs/cgroup'],
    ['hybrid', HYBRID, true, 'beside v1 (hybrid)'],
    ['v1', V1, false, 'no cgroup2 mount'],
  ])('has control groups %s', (_, mounts, ok, detail) => {
    const finding = controlGroups(machine({ '/proc/self/mounts': mounts }));
    expect(hasVersionOneGroups(machine({ '/proc/self/mounts': mounts }))).toBe(mounts !== V2);
    expect(finding).toMatchObject({ ok, detail: expect.stringContaining(detail) });
  });

  it('needs a BPF file system only for pins', () => {
    const without = machine({ '/proc/self/mounts': V2 });
    expect(bpfFileSystem(without, false)).toMatchObject({ ok: false, optional: true });
    expect(bpfFileSystem(without, true).optional).toBeUndefined();
    expect(bpfFileSystem(machine({ '/proc/self/mounts': 'bpf /sys/fs/bpf bpf rw 0 0\n' }), true)).toMatchObject({
      ok: true,
      detail: 'mounted at /sys/fs/bpf',
    });
  });
});
