/**
 * Maps and programs that outlive the agent, in a directory of a BPF file system (`pin_path`). While the agent is away
 * they go on counting; the next agent takes them over, unless they were made with another layout or other sizes.
 *
 * The directory belongs to one agent at a time, which holds a lock on it. What others may have pinned there is left alone.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statfsSync,
  unlinkSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { TcpledgerError } from '../collector/errors.ts';
import { type Claim, claim, ownerName } from '../collector/flock.ts';
import { CONNECT_ERRORS, PAIR_COUNTERS, PAIR_HISTOGRAMS } from '../semconv/pair-fields.ts';
import { errnoName } from './libbpf.ts';

const BPF_FS_MAGIC = 0xcafe4a11;
const MAP = 'map_';
const LINK = 'link_';
/** A BPF file system takes directories, but no ordinary files: the name of this one says it all. */
const MARKER = 'layout_';

/** What decides whether the maps and the attached program of an earlier agent fit this one. */
export interface PinLayout {
  readonly objectPath: string;
  readonly maxPairs: number;
  readonly maxConnections: number;
  readonly ringBytes: number;
  readonly loopback: boolean;
}

export interface Pins {
  /** True when there is a complete set of an earlier agent with the same layout and sizes. */
  readonly resumed: boolean;
  mapPath(name: string): string;
  linkPath(program: string): string;
  /** Whether an earlier agent's link of an optional program is there. */
  hasLink(program: string): boolean;
  /** Takes an optional program's link away: the program is detached. */
  dropLink(program: string): void;
  failure(path: string, errno: number): TcpledgerError;
  /** Everything is pinned, attached and adopted: from now on a later agent may take it over. */
  complete(): void;
  /** Gives the directory up; what is pinned stays. */
  release(): void;
}

/**
 * Takes the directory `path`, and clears it of pins that do not fit. `maps` and `programs` are what a complete set has,
 * `optional` programs may be in it. Throws TCPL_E_PIN.
 */
export function openPins(
  path: string,
  layout: PinLayout,
  maps: readonly string[],
  programs: readonly string[],
  optional: readonly string[] = [],
): Pins {
  prepareDirectory(path);
  const release = takeOwnership(path);
  try {
    const marker = `${MARKER}${fingerprintOf(layout)}`;
    const pins = [...maps.map((name) => MAP + name), ...programs.map((name) => LINK + name)];
    const present = readdirSync(path);
    const resumed = [marker, ...pins].every((name) => present.includes(name));
    if (!resumed) {
      /* the marker goes first and comes last: an agent that is killed in between leaves nothing to take over by half */
      for (const name of present) if (name.startsWith(MARKER)) rmdirSync(join(path, name));
      const ours = [...pins, ...optional.map((name) => LINK + name)];
      for (const name of present) if (ours.includes(name)) unlinkSync(join(path, name));
    }
    return {
      resumed,
      mapPath: (name) => join(path, MAP + name),
      linkPath: (program) => join(path, LINK + program),
      hasLink: (program) => existsSync(join(path, LINK + program)),
      dropLink: (program) => unlinkSync(join(path, LINK + program)),
      failure: (at, errno) => pinFailure(at, errnoName(errno)),
      complete() {
        if (!resumed) mkdirSync(join(path, marker), { mode: 0o700 });
      },
      release,
    };
  } catch (error) {
    release();
    throw pinFailure(path, (error as NodeJS.ErrnoException).code ?? String(error));
  }
}

/** Makes the directory, but only on a BPF file system: nothing is left behind where it cannot be used. */
function prepareDirectory(path: string): void {
  let present = path;
  while (!existsSync(present)) present = dirname(present);
  if (statfsSync(present).type !== BPF_FS_MAGIC) {
    throw new TcpledgerError(
      'TCPL_E_PIN',
      `cannot pin at receivers.ebpf_tcp.pin_path ${path}: it is not on a BPF file system. Choose a path below /sys/fs/bpf, and mount it if need be (mount -t bpf bpf /sys/fs/bpf).`,
    );
  }
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw pinFailure(path, (error as NodeJS.ErrnoException).code ?? String(error));
  }
}

/** Returns what gives it up again. */
function takeOwnership(path: string): () => void {
  let fd: number | undefined;
  let owned: Claim;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
    owned = claim(fd, path);
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    throw pinFailure(path, (error as NodeJS.ErrnoException).code ?? String(error));
  }
  const release = () => closeSync(fd);
  if (owned.held) return release;
  release();
  throw new TcpledgerError(
    'TCPL_E_PIN',
    `cannot use receivers.ebpf_tcp.pin_path ${path}: ${ownerName(owned.pid)} holds it. Stop that agent, or give this one a pin_path of its own.`,
  );
}

/**
 * Whatever makes the maps or the attached program of an earlier agent unfit for this one: other code, other sizes, other
 * columns. A tracing link cannot be given another program, so other code means a fresh start, with adoption.
 */
function fingerprintOf({ objectPath, maxPairs, maxConnections, ringBytes, loopback }: PinLayout): string {
  return createHash('sha256')
    .update(readFileSync(objectPath))
    .update(
      JSON.stringify([maxPairs, maxConnections, ringBytes, loopback, PAIR_COUNTERS, CONNECT_ERRORS, PAIR_HISTOGRAMS]),
    )
    .digest('hex')
    .slice(0, 16);
}

function pinFailure(path: string, reason: string): TcpledgerError {
  return new TcpledgerError(
    'TCPL_E_PIN',
    `cannot pin at ${path} (receivers.ebpf_tcp.pin_path): ${reason}. It must be a directory of a BPF file system that this process may write to.`,
  );
}
