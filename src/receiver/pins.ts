/**
 * Maps and programs that outlive the agent, in a directory of a BPF file system (`pin_path`). While the agent is away
 * they go on counting; the next agent takes them over, unless they were made with another layout or other sizes.
 *
 * The directory is owned by one agent at a time: `owner` beside it in /run names the process (a BPF file system holds no
 * ordinary files).
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TcpledgerError } from '../collector/errors.ts';
import type { KernelOptions } from './kernel.ts';
import { errnoName } from './libbpf.ts';

const BPF_FS_MAGIC = 0xcafe4a11;
const RUN_DIRECTORY = '/run/tcpledger';

export interface Pins {
  /** True when there is a complete set of an earlier agent with the same layout and sizes. */
  readonly resumed: boolean;
  mapPath(name: string): string;
  linkPath(program: string): string;
  failure(path: string, errno: number): TcpledgerError;
  /** Gives the directory up; what is pinned stays. */
  release(): void;
}

export function openPins(options: KernelOptions): Pins {
  const path = options.pinPath;
  prepareDirectory(path);
  const lock = takeOwnership(path);
  try {
    const fingerprint = fingerprintOf(options);
    const marker = join(path, `layout_${fingerprint}`);
    const present = readdirSync(path);
    const resumed = present.includes(`layout_${fingerprint}`) && present.includes('link_tcpledger_state');
    if (!resumed) for (const name of present) rmSync(join(path, name), { recursive: true, force: true });
    /* a BPF file system takes directories, not files: the name says it all */
    if (!resumed) mkdirSync(marker, { mode: 0o700 });
    return {
      resumed,
      mapPath: (name) => join(path, `map_${name}`),
      linkPath: (program) => join(path, `link_${program}`),
      failure: (at, errno) => pinFailure(at, errnoName(errno)),
      release: () => unlinkSync(lock),
    };
  } catch (error) {
    unlinkSync(lock);
    throw error instanceof TcpledgerError
      ? error
      : pinFailure(path, (error as NodeJS.ErrnoException).code ?? String(error));
  }
}

function prepareDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw pinFailure(path, (error as NodeJS.ErrnoException).code ?? String(error));
  }
  if (statfsSync(path).type !== BPF_FS_MAGIC) {
    throw new TcpledgerError(
      'TCPL_E_PIN',
      `cannot pin at receivers.ebpf_tcp.pin_path ${path}: it is not on a BPF file system. Choose a path below /sys/fs/bpf, and mount it if need be (mount -t bpf bpf /sys/fs/bpf).`,
    );
  }
}

/** Takes the lock file, or says which process has it. A lock whose process has ended is taken over. */
function takeOwnership(path: string): string {
  const lock = join(RUN_DIRECTORY, `${createHash('sha256').update(path).digest('hex').slice(0, 16)}.pid`);
  try {
    mkdirSync(RUN_DIRECTORY, { recursive: true, mode: 0o755 });
    for (;;) {
      try {
        writeFileSync(lock, `${process.pid} ${startTime(process.pid)}\n`, { flag: 'wx', mode: 0o644 });
        return lock;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const [pid, started] = readFileSync(lock, 'latin1').trim().split(' ');
      if (pid && started && startTime(Number(pid)) === started) {
        throw new TcpledgerError(
          'TCPL_E_PIN',
          `cannot use receivers.ebpf_tcp.pin_path ${path}: process ${pid} holds it. Stop that agent, or give this one a pin_path of its own.`,
        );
      }
      unlinkSync(lock);
    }
  } catch (error) {
    if (error instanceof TcpledgerError) throw error;
    throw new TcpledgerError(
      'TCPL_E_PIN',
      `cannot take ${lock} for receivers.ebpf_tcp.pin_path: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
}

/** Field 22 of /proc/<pid>/stat: tells a process from a later one with its number. undefined when there is none. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/**
 * Whatever makes the maps or the attached program of an earlier agent unfit for this one: other code, other sizes. A
 * tracing link cannot be given another program, so other code means a fresh start, with adoption.
 */
function fingerprintOf({ objectPath, maxPairs, maxConnections, ringBytes, loopback }: KernelOptions): string {
  return createHash('sha256')
    .update(readFileSync(objectPath))
    .update(JSON.stringify([maxPairs, maxConnections, ringBytes, loopback]))
    .digest('hex')
    .slice(0, 16);
}

function pinFailure(path: string, reason: string): TcpledgerError {
  return new TcpledgerError(
    'TCPL_E_PIN',
    `cannot pin at ${path} (receivers.ebpf_tcp.pin_path): ${reason}. It must be a directory of a BPF file system that this process may write to.`,
  );
}
