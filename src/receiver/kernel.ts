/**
 * The kernel half as the receiver uses it: loaded, attached, its maps mapped. Behind an interface, so that everything
 * above runs on a fake without root.
 */
import { accessSync } from 'node:fs';
import { TcpledgerError } from '../collector/errors.ts';
import { HISTOGRAM_BUCKETS, PAIR_HISTOGRAMS } from '../semconv/pair-fields.ts';
import { type Layout, parseBtf } from './btf.ts';
import { possibleCpus } from './cpus.ts';
import { type KernelState, openKernelState } from './kernel-state.ts';
import { type Libbpf, openLibbpf, type Pointer, type ProgramStatistics } from './libbpf.ts';
import { loadFailure } from './load-failure.ts';
import { openPins, type Pins } from './pins.ts';
import type { RingMemory } from './ring.ts';
import { createSlotMemory, SLOTS_PER_CHUNK, type SlotMemory } from './slot-memory.ts';

export const KERNEL_BTF = '/sys/kernel/btf/vmlinux';
const PAGE = 4096;
/** 6,000 records: exchanging its pages costs a record some nanoseconds. */
const RING_WINDOW = 1024 * 1024;

/** The maps that outlive an agent when a pin path is configured, and those whose fill is shown. */
export const MAPS = [
  'index',
  'slots',
  'spare',
  'spare_coarse',
  'conns',
  'sequence',
  'owners',
  'listeners',
  'records',
  'state',
] as const;
export type MapName = (typeof MAPS)[number];

export const PROGRAMS = [
  'tcpledger_state',
  'tcpledger_settle',
  'tcpledger_adopt_listeners',
  'tcpledger_adopt_connections',
] as const;
export type ProgramName = (typeof PROGRAMS)[number];

export interface KernelOptions {
  readonly objectPath: string;
  readonly maxPairs: number;
  readonly maxConnections: number;
  /** A power of two, at least a page. */
  readonly ringBytes: number;
  readonly loopback: boolean;
  readonly adopt: boolean;
  /** '' = nothing is pinned. */
  readonly pinPath: string;
  /** Called when the maps are there and before the program counts its first connection: sets its switches. */
  readonly onAttaching: (state: KernelState) => void;
}

export interface Kernel {
  readonly layouts: Readonly<Record<'slot' | 'pair' | 'record' | 'state' | 'listener', Layout>>;
  readonly slotCount: number;
  readonly coarseBase: number;
  readonly maxConnections: number;
  /** All slots, read-only, for life. */
  readonly slots: SlotMemory;
  /** struct state; writable (the switches). */
  readonly state: ArrayBuffer;
  readonly ring: RingMemory;
  /** True when the maps are those of an earlier agent. */
  readonly resumed: boolean;
  bootTimeNs(): number;
  /** Advances the counters of the open connections. Resolves to the call's code (0 or a negative errno). */
  settle(): Promise<number>;
  /** The slot number of a pair's key, or undefined. */
  indexLookup(pair: Buffer): number | undefined;
  indexDelete(pair: Buffer): void;
  /** Writes a whole slot. Returns 0 or a negative errno. */
  writeSlot(slot: number, value: Buffer): number;
  pushSpare(slot: number): number;
  /** Every listener: the raw value of `listeners` (struct listener). */
  listeners(): Buffer[];
  statistics(program: ProgramName): ProgramStatistics;
  /** Stops counting, unless it is pinned: then the kernel half goes on. The maps stay readable. */
  detach(): Promise<void>;
  /** Frees all but what is pinned. */
  close(): Promise<void>;
}

export async function openKernel(options: KernelOptions): Promise<Kernel> {
  const libbpf = openLibbpf();
  requireBtf();
  const { object, readLog } = openObject(libbpf, options.objectPath);
  let pins: Pins | undefined;
  const links: Pointer[] = [];
  try {
    const btf = parseBtf(libbpf.rawBtf(object));
    const map = (name: string) => libbpf.map(object, name);
    const slotCount = options.maxPairs;
    const coarseBase = slotCount - (slotCount >>> 3);
    for (const name of ['index', 'slots', 'spare', 'spare_coarse']) libbpf.setMaxEntries(map(name), slotCount);
    libbpf.setMaxEntries(map('conns'), options.maxConnections);
    libbpf.setMaxEntries(map('records'), options.ringBytes);

    const constants = libbpf.initialValue(map('.rodata'));
    const view = new DataView(constants.buffer, constants.byteOffset, constants.byteLength);
    const rodata = btf.section('.rodata');
    view.setUint32(rodata.offset('slot_count'), slotCount, true);
    view.setUint32(rodata.offset('coarse_base'), coarseBase, true);
    view.setUint8(rodata.offset('count_loopback'), options.loopback ? 1 : 0);
    view.setUint32(rodata.offset('cpus'), possibleCpus(), true);
    view.setBigUint64(rodata.offset('id_base'), BigInt(Math.floor(libbpf.bootTimeNs() / 1e9)) << 32n, true);
    const bounds = rodata.offset('histogram_bounds');
    PAIR_HISTOGRAMS.forEach((histogram, h) => {
      histogram.bounds.forEach((bound, i) => {
        view.setBigUint64(bounds + (h * HISTOGRAM_BUCKETS + i) * 8, BigInt(Math.round(bound * 1e9)), true);
      });
    });

    if (options.pinPath !== '') {
      pins = openPins(options);
      for (const name of MAPS) libbpf.setPinPath(map(name), pins.mapPath(name));
    }
    const code = await libbpf.load(object);
    if (code < 0) throw loadFailure(-code, readLog());

    const fd = Object.fromEntries(MAPS.map((name) => [name, libbpf.mapFd(map(name))])) as Record<MapName, number>;
    const slotBytes = btf.struct('slot').size;
    const chunkBytes = slotBytes * SLOTS_PER_CHUNK;
    const slots = createSlotMemory(btf.struct('slot'), (chunk) => {
      const length = pages(Math.min(chunkBytes, slotBytes * slotCount - chunk * chunkBytes));
      return libbpf.mmap(fd.slots, length, chunk * chunkBytes, false).view;
    });
    const state = libbpf.mmap(fd.state, pages(btf.struct('state').size), 0, true).view;
    const resumed = pins?.resumed ?? false;
    if (!resumed) startHighWaterMarks(new DataView(state), btf.struct('state'), coarseBase);
    options.onAttaching(openKernelState(state, btf.struct('state')));

    const program = (name: ProgramName) => libbpf.program(object, name);
    await attachState(libbpf, program('tcpledger_state'), pins, links, readLog);
    if (options.adopt && !resumed) {
      for (const name of ['tcpledger_adopt_listeners', 'tcpledger_adopt_connections'] as const) {
        await adopt(libbpf, program(name), name);
      }
    }
    const settleFd = libbpf.programFd(program('tcpledger_settle'));
    const word = Buffer.alloc(4);
    const keyOf = (slot: number) => {
      word.writeUInt32LE(slot);
      return word;
    };
    return {
      layouts: {
        slot: btf.struct('slot'),
        pair: btf.struct('pair'),
        record: btf.struct('record'),
        state: btf.struct('state'),
        listener: btf.struct('listener'),
      },
      slotCount,
      coarseBase,
      maxConnections: options.maxConnections,
      slots,
      state,
      ring: mapRing(libbpf, fd.records, options.ringBytes),
      resumed,
      bootTimeNs: () => libbpf.bootTimeNs(),
      settle: () => libbpf.testRun(settleFd),
      indexLookup: (pair) => (libbpf.lookup(fd.index, pair, word) === 0 ? word.readUInt32LE() : undefined),
      indexDelete: (pair) => void libbpf.remove(fd.index, pair),
      writeSlot: (slot, value) => libbpf.update(fd.slots, keyOf(slot), value, 0),
      pushSpare: (slot) => libbpf.update(slot >= coarseBase ? fd.spare_coarse : fd.spare, null, keyOf(slot), 0),
      listeners: () => readAll(libbpf, fd.listeners, btf.struct('listener').size),
      statistics: (name) => libbpf.statistics(libbpf.programFd(program(name))),
      async detach() {
        for (const link of links.splice(0)) await libbpf.destroyLink(link);
      },
      async close() {
        for (const link of links.splice(0)) await libbpf.destroyLink(link);
        libbpf.close(object);
        pins?.release();
      },
    };
  } catch (error) {
    for (const link of links) await libbpf.destroyLink(link);
    libbpf.close(object);
    pins?.release();
    throw error;
  }
}

function requireBtf(): void {
  try {
    accessSync(KERNEL_BTF);
  } catch (cause) {
    throw new TcpledgerError(
      'TCPL_E_BTF',
      `cannot load the BPF programs: this kernel gives no type information (${KERNEL_BTF} is missing or not readable). Use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of Debian 11, Ubuntu 20.10, RHEL 8 and newer are.`,
      { cause },
    );
  }
}

function openObject(libbpf: Libbpf, path: string): ReturnType<Libbpf['open']> {
  try {
    return libbpf.open(path);
  } catch (cause) {
    throw new TcpledgerError(
      'TCPL_E_BPF_OBJECT',
      `cannot open the BPF object ${path}: ${(cause as Error).message}. Build it (npm run build), or set TCPLEDGER_BPF_OBJECT to where it is.`,
      { cause },
    );
  }
}

/** Slots 0 and 1 are the unattributed ones, of the two roles. */
function startHighWaterMarks(state: DataView, layout: Layout, coarseBase: number): void {
  state.setUint32(layout.offset('next_slot'), 2, true);
  state.setUint32(layout.offset('next_coarse'), coarseBase, true);
}

async function attachState(
  libbpf: Libbpf,
  program: Pointer,
  pins: Pins | undefined,
  links: Pointer[],
  readLog: () => string,
): Promise<void> {
  const pinned = pins?.linkPath('tcpledger_state');
  if (pins?.resumed && pinned) {
    const link = libbpf.openLink(pinned);
    if (link) {
      links.push(link);
      return;
    }
  }
  const link = await libbpf.attach(program);
  if (!link) throw loadFailure(0, readLog());
  links.push(link);
  if (pinned) {
    const code = libbpf.pinLink(link, pinned);
    if (code < 0) throw pins!.failure(pinned, -code);
  }
}

async function adopt(libbpf: Libbpf, program: Pointer, name: ProgramName): Promise<void> {
  const link = await libbpf.attachIterator(program);
  const code = link ? await libbpf.runIterator(link) : -1;
  if (link) await libbpf.destroyLink(link);
  if (code < 0) {
    throw new TcpledgerError(
      'TCPL_E_KERNEL_FEATURE',
      `cannot adopt the connections that are already open: the kernel refuses the task_file iterator of ${name}. Set receivers.ebpf_tcp.adopt to false to go on without them.`,
    );
  }
}

/** The positions' pages, and a window of the data behind them. */
function mapRing(libbpf: Libbpf, fd: number, bytes: number): RingMemory {
  const dataAt = 2 * PAGE;
  const window = libbpf.mmap(fd, Math.min(RING_WINDOW, 2 * bytes), dataAt, false);
  return {
    consumer: libbpf.mmap(fd, PAGE, 0, true).view,
    producer: libbpf.mmap(fd, PAGE, PAGE, false).view,
    bytes,
    window: window.view,
    slide: (offset) => libbpf.remap(window, fd, dataAt + offset),
  };
}

function readAll(libbpf: Libbpf, fd: number, valueBytes: number): Buffer[] {
  const values: Buffer[] = [];
  let key: Buffer | null = null;
  for (;;) {
    const next = Buffer.alloc(8);
    if (libbpf.nextKey(fd, key, next) < 0) return values;
    const value = Buffer.alloc(valueBytes);
    if (libbpf.lookup(fd, next, value) === 0) values.push(value);
    key = next;
  }
}

const pages = (bytes: number): number => Math.ceil(bytes / PAGE) * PAGE;
