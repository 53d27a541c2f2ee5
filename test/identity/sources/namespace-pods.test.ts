import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  createNamespacePods,
  GAP_PER_SCAN,
  KEEP_ABSENT_MS,
  type NamespacePods,
  SCAN_GAP_MS,
} from '../../../src/identity/sources/namespace-pods.ts';
import { containerOf, Processes } from '../../../src/identity/sources/processes.ts';
import { FakeClock, FakeLogger } from '../fakes.ts';

const A = '2c48913c-b29f-11e7-9350-020968147796';
const B = '3d59a24d-b29f-11e7-9350-020968147796';
const PAUSE = 'a'.repeat(64);
const APP = 'b'.repeat(64);
const HOST_NETNS = 4_026_531_840;
const POD_NETNS = 4_026_532_500;
const UPTIME_S = 1_000;

/** A /proc of files, as far as it is read. */
class FakeProc {
  readonly root = mkdtempSync(join(tmpdir(), 'tcpledger-proc-'));

  constructor() {
    writeFileSync(join(this.root, 'uptime'), `${UPTIME_S}.00 123.45\n`);
    writeFileSync(join(this.root, 'meminfo'), '');
    this.start('1', { netns: HOST_NETNS, path: '/' });
    this.start('self', { netns: HOST_NETNS, path: '/' });
  }

  /** `startedS`: seconds since the boot. */
  start(pid: string, { netns, path, startedS = 1 }: { netns: number; path: string; startedS?: number }): void {
    mkdirSync(join(this.root, pid, 'ns'), { recursive: true });
    symlinkSync(`net:[${netns}]`, join(this.root, pid, 'ns', 'net'));
    writeFileSync(join(this.root, pid, 'cgroup'), `4:memory:${path}\n0::/\n`);
    writeFileSync(join(this.root, pid, 'stat'), `${pid} (a (b) c) S ${'0 '.repeat(18)}${startedS * 100} 0 0\n`);
  }

  end(pid: string): void {
    rmSync(join(this.root, pid), { recursive: true });
  }

  remove(): void {
    rmSync(this.root, { recursive: true });
  }
}

let proc: FakeProc;
let clock: FakeClock;
let logger: FakeLogger;
let pods: NamespacePods;
let told: ReadonlySet<number>[];
/** How long a reading takes. */
let elapsedMs: number;

beforeEach(() => {
  proc = new FakeProc();
  clock = new FakeClock();
  logger = new FakeLogger();
  elapsedMs = 0;
  let readings = 0;
  pods = createNamespacePods({
    clock,
    logger,
    processes: new Processes(proc.root),
    // asked at the beginning and at the end of a reading
    monotonicMs: () => (readings++ % 2 === 0 ? 0 : elapsedMs),
  });
  told = [];
  pods.onChange((netns) => told.push(netns));
});

afterEach(async () => {
  await pods.stop();
  proc.remove();
});

/** Asks, and waits until that has been answered. */
async function look(netns: number): Promise<void> {
  const before = told.length;
  expect(pods.looking(netns)).toBe(true);
  clock.advance(SCAN_GAP_MS);
  await expect.poll(() => told.length).toBe(before + 1);
}

describe('the pod of a network namespace', () => {
  it('is that of its processes; the container only if there is one', async () => {
    proc.start('10', { netns: POD_NETNS, path: `/kubepods/pod${A}/${PAUSE}`, startedS: 500 });
    await look(POD_NETNS);
    expect(told).toEqual([new Set([POD_NETNS])]);
    expect(pods.looking(POD_NETNS)).toBe(false);
    expect(pods.owner(POD_NETNS, undefined)).toEqual({ podUid: A, containerId: PAUSE });
    proc.start('11', { netns: POD_NETNS, path: `/kubepods/pod${A}/${APP}`, startedS: 501 });
    await look(POD_NETNS + 1);
    expect(pods.owner(POD_NETNS, undefined)).toEqual({ podUid: A, containerId: undefined });
  });

  it('is not told by processes of no pod, nor by those of several', async () => {
    proc.start('10', { netns: POD_NETNS, path: '/system.slice/docker.service' });
    proc.start('11', { netns: POD_NETNS, path: `/kubepods/pod${A}/${APP}` });
    proc.start('20', { netns: POD_NETNS + 1, path: `/kubepods/pod${A}/${APP}` });
    proc.start('21', { netns: POD_NETNS + 1, path: `/kubepods/pod${B}/${APP}` });
    await look(POD_NETNS);
    expect(pods.owner(POD_NETNS, undefined)?.podUid).toBe(A);
    expect(pods.owner(POD_NETNS + 1, undefined)).toBeUndefined();
  });

  it('is never that of a host-network pod: the node’s namespace is not looked for', () => {
    proc.start('10', { netns: HOST_NETNS, path: `/kubepods/pod${A}/${APP}` });
    expect(pods.looking(HOST_NETNS)).toBe(false);
    expect(pods.looking(0)).toBe(false);
    expect(pods.owner(HOST_NETNS, undefined)).toBeUndefined();
  });

  it('is the pod’s since its first process, and not before', async () => {
    proc.start('10', { netns: POD_NETNS, path: `/kubepods/pod${A}/${PAUSE}`, startedS: 990 });
    proc.start('11', { netns: POD_NETNS, path: `/kubepods/pod${A}/${APP}`, startedS: 995 });
    await look(POD_NETNS);
    const started = clock.now() - (UPTIME_S - 990) * 1_000;
    expect(pods.owner(POD_NETNS, started)?.podUid).toBe(A);
    expect(pods.owner(POD_NETNS, started - 100)).toBeUndefined();
  });

  it('is asked for anew when the process that told it has gone: the inode is another’s by then', async () => {
    proc.start('10', { netns: POD_NETNS, path: `/kubepods/pod${A}/${APP}` });
    await look(POD_NETNS);
    expect(pods.owner(POD_NETNS, undefined)?.podUid).toBe(A);
    proc.end('10');
    proc.start('12', { netns: POD_NETNS, path: `/kubepods/pod${B}/${APP}` });
    expect(pods.owner(POD_NETNS, undefined)).toBeUndefined();
    await look(POD_NETNS);
    expect(pods.owner(POD_NETNS, undefined)?.podUid).toBe(B);
  });

  it('is not told by a later process of the same pid', async () => {
    proc.start('10', { netns: POD_NETNS, path: `/kubepods/pod${A}/${APP}`, startedS: 5 });
    await look(POD_NETNS);
    proc.end('10');
    proc.start('10', { netns: POD_NETNS, path: `/kubepods/pod${B}/${APP}`, startedS: 6 });
    expect(pods.owner(POD_NETNS, undefined)).toBeUndefined();
  });
});

describe('readings of /proc', () => {
  it('answer all who wait at once, and come at most once a second', async () => {
    expect(pods.looking(POD_NETNS)).toBe(true);
    expect(pods.looking(POD_NETNS + 1)).toBe(true);
    clock.advance(0);
    await expect.poll(() => told).toEqual([new Set([POD_NETNS, POD_NETNS + 1])]);
    proc.start('10', { netns: POD_NETNS + 2, path: `/kubepods/pod${A}/${APP}` });
    expect(pods.looking(POD_NETNS + 2)).toBe(true);
    clock.advance(SCAN_GAP_MS - 1);
    expect(pods.owner(POD_NETNS + 2, undefined)).toBeUndefined();
    clock.advance(1);
    await expect.poll(() => pods.owner(POD_NETNS + 2, undefined)?.podUid).toBe(A);
  });

  it('take a twentieth of the time at most', async () => {
    elapsedMs = 100;
    await look(POD_NETNS);
    expect(pods.looking(POD_NETNS + 1)).toBe(true);
    clock.advance(GAP_PER_SCAN * elapsedMs - SCAN_GAP_MS - 1);
    expect(pods.looking(POD_NETNS + 2)).toBe(true);
    clock.advance(1);
    await expect.poll(() => told.at(-1)).toEqual(new Set([POD_NETNS + 1, POD_NETNS + 2]));
  });

  it('are not caused again by a namespace without a pod, for a while', async () => {
    await look(POD_NETNS);
    expect(pods.looking(POD_NETNS)).toBe(false);
    clock.advance(KEEP_ABSENT_MS);
    await look(POD_NETNS + 1);
    expect(pods.looking(POD_NETNS)).toBe(true);
  });

  it('tell of a namespace that had none before', async () => {
    await look(POD_NETNS);
    proc.start('10', { netns: POD_NETNS, path: `/kubepods/pod${A}/${APP}` });
    await look(POD_NETNS + 1);
    expect(told.at(-1)).toEqual(new Set([POD_NETNS, POD_NETNS + 1]));
    expect(pods.owner(POD_NETNS, undefined)?.podUid).toBe(A);
  });

  it('that fail name nobody, and are told', async () => {
    proc.remove();
    await look(POD_NETNS);
    expect(pods.owner(POD_NETNS, undefined)).toBeUndefined();
    expect(logger.lines).toHaveLength(1);
    expect(logger.lines[0]).toContain('ENOENT');
    mkdirSync(proc.root);
  });

  it('say once that processes do not tell, and what that takes', async () => {
    class Refusing extends Processes {
      override takeRefused(): number {
        return 3;
      }
    }
    pods = createNamespacePods({ clock, logger, processes: new Refusing(proc.root), monotonicMs: () => 0 });
    pods.onChange((netns) => told.push(netns));
    await look(POD_NETNS);
    await look(POD_NETNS + 1);
    expect(logger.lines).toHaveLength(1);
    expect(logger.lines[0]).toContain('3 processes');
    expect(logger.lines[0]).toContain('CAP_SYS_PTRACE');
  });

  it('end with the agent', async () => {
    expect(pods.looking(POD_NETNS)).toBe(true);
    await pods.stop();
    clock.advance(SCAN_GAP_MS);
    expect(told).toEqual([]);
    expect(pods.looking(POD_NETNS + 1)).toBe(false);
  });
});

describe('the cgroups of a process', () => {
  it.each([
    ['v2', `0::/kubepods.slice/kubepods-pod${A.replaceAll('-', '_')}.slice/cri-containerd-${APP}.scope\n`, A],
    ['hybrid: v2 tells nothing', `2:cpu:/kubepods/pod${A}/${APP}\n1:name=systemd:/\n0::/\n`, A],
    ['hybrid: v2 has the runtime’s unit', `0::/system.slice/containerd.service\n3:pids:/kubepods/pod${A}/${APP}\n`, A],
    ['several controllers', `4:cpu,cpuacct:/kubepods/pod${A}/${APP}\n`, A],
    ['colons in the path', `5:pids:/system.slice/kubepods-pod${A}.slice:cri-containerd:${APP}\n`, A],
    ['relative to the reader’s', `0::/../../pod${A}/${APP}\n`, A],
  ])('%s', (_, text, podUid) => {
    expect(containerOf(text)).toEqual({ podUid, containerId: APP });
  });

  it('name nobody where there is no pod', () => {
    expect(containerOf(`0::/system.slice/docker-${APP}.scope\n`)).toBeUndefined();
    expect(containerOf('')).toBeUndefined();
  });
});

describe('this machine’s own processes', () => {
  it('tell where they are and when they started', () => {
    const processes = new Processes();
    const pid = String(process.pid);
    expect(processes.pids()).toContain(pid);
    expect(processes.netns(pid)).toBe(processes.netns('self'));
    expect(processes.netns(pid)).toBeGreaterThan(0);
    const startedMs = processes.wallClock(processes.startTicks(pid)!, Date.now());
    expect(Math.abs(startedMs - (Date.now() - process.uptime() * 1000))).toBeLessThan(5_000);
    expect(processes.netns('0')).toBeUndefined();
    expect(processes.startTicks('0')).toBeUndefined();
    expect(processes.container('0')).toBeUndefined();
  });
});
