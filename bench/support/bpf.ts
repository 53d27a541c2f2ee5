/** The kernel half alone, without an agent above it, and the empty program that is its reference. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bpfObjectPath } from '../../src/build-info.ts';
import type { Kernel, KernelOptions } from '../../src/receiver/kernel.ts';
import { openLibbpf, type ProgramStatistics } from '../../src/receiver/libbpf.ts';
import { openKernel } from '../../src/receiver/open-kernel.ts';
import { PROJECT } from './project.ts';

const STATISTICS = '/proc/sys/kernel/bpf_stats_enabled';

/** Runs `work` with the kernel's own timing of BPF programs on. */
export async function withStatistics<T>(work: () => Promise<T>): Promise<T> {
  const before = readFileSync(STATISTICS, 'latin1');
  writeFileSync(STATISTICS, '1');
  try {
    return await work();
  } finally {
    writeFileSync(STATISTICS, before);
  }
}

export function openKernelHalf(options: Partial<KernelOptions> = {}): Promise<Kernel> {
  return openKernel({
    objectPath: bpfObjectPath(),
    maxPairs: 32_768,
    maxConnections: 65_536,
    ringBytes: 16 * 1024 * 1024,
    loopback: true,
    adopt: false,
    pinPath: '',
    connectHooks: false,
    onAttaching: (state) => {
      state.setRecords(['close', 'fail']);
      state.setByExecutable(true);
    },
    ...options,
  });
}

export interface EmptyProgram {
  statistics(): ProgramStatistics;
  close(): Promise<void>;
}

/** A program on the same hook that does nothing. */
export async function attachEmptyProgram(): Promise<EmptyProgram> {
  const directory = join(PROJECT, 'node_modules', '.cache', 'tcpledger-bench');
  mkdirSync(directory, { recursive: true });
  const objectPath = join(directory, 'empty.bpf.o');
  const include = `/usr/include/${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu`;
  const source = join(PROJECT, 'bench', 'support', 'empty.bpf.c');
  execFileSync('clang', ['-target', 'bpf', '-O2', '-g', '-isystem', include, '-c', source, '-o', objectPath]);
  const libbpf = openLibbpf();
  const { object } = libbpf.open(objectPath);
  const code = await libbpf.load(object);
  if (code < 0) throw new Error(`cannot load the empty program: errno ${-code}`);
  const program = libbpf.program(object, 'empty');
  const link = await libbpf.attach(program);
  return {
    statistics: () => libbpf.statistics(libbpf.programFd(program)),
    async close() {
      await libbpf.destroyLink(link);
      libbpf.close(object);
    },
  };
}

/** Forgets what is in the access-log ring, as a reader that keeps up would. */
export function emptyRing(kernel: Kernel): void {
  new BigUint64Array(kernel.ring.consumer)[0] = new BigUint64Array(kernel.ring.producer)[0]!;
}
