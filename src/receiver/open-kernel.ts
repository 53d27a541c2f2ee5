/** Loads and attaches the kernel half through libbpf, and maps what it shares. */
import { accessSync, readFileSync } from 'node:fs';
import { TcpledgerError } from '../collector/errors.ts';
import { adoptOlder, attachHooked } from './attach.ts';
import { type Layout, parseBtf } from './btf.ts';
import { attachConnectHooks, type ConnectHooks, planConnectHooks } from './connect-hooks.ts';
import {
  CONNECT_PROGRAMS,
  HOOKED_PROGRAMS,
  type Kernel,
  type KernelOptions,
  MAPS,
  type MapName,
  PROGRAMS,
  type ProgramName,
} from './kernel.ts';
import { openKernelState } from './kernel-state.ts';
import { type Libbpf, openLibbpf, type Pointer } from './libbpf.ts';
import { loadFailure } from './load-failure.ts';
import { setConstants, setSizes } from './object-settings.ts';
import { openPins, type Pins } from './pins.ts';
import type { RingMemory } from './ring.ts';
import { createSlotMemory, SLOTS_PER_CHUNK, type SlotMemory } from './slot-memory.ts';

const KERNEL_BTF = '/sys/kernel/btf/vmlinux';
/** The section of the one global variable that is a map of its own: bpf/state.h. */
const STATE_SECTION = '.data.state';
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
/** 6,000 records: exchanging its pages costs a record some nanoseconds. */
const RING_WINDOW = 1024 * 1024;

/** Rejects with a TcpledgerError that says what this kernel or these privileges do not allow. */
export async function openKernel(options: KernelOptions): Promise<Kernel> {
  const libbpf = openLibbpf();
  requireBtf();
  const { object, readLog } = openObject(libbpf, options.objectPath);
  let pins: Pins | undefined;
  const links: Pointer[] = [];
  let connectHooks: ConnectHooks | undefined;
  const detach = async () => {
    connectHooks?.detach();
    for (const link of links.splice(0)) await libbpf.destroyLink(link);
  };
  const close = async () => {
    await detach();
    libbpf.close(object);
    pins?.release();
  };
  try {
    const btf = parseBtf(libbpf.rawBtf(object));
    const layouts = {
      slot: btf.struct('slot'),
      pair: btf.struct('pair'),
      record: btf.struct('record'),
      state: btf.struct('state'),
      listener: btf.struct('listener'),
    };
    const map = (name: MapName) => libbpf.map(object, name === 'state' ? STATE_SECTION : name);
    const program = (name: ProgramName) => libbpf.program(object, name);
    const slotCount = options.maxPairs;
    const coarseBase = slotCount - (slotCount >>> 3);
    const pageBytes = libbpf.pageBytes();
    const pages = (bytes: number) => Math.ceil(bytes / pageBytes) * pageBytes;
    /* the kernel wants whole pages, and pages are larger on some machines */
    const ringBytes = Math.max(options.ringBytes, pageBytes);
    setSizes(libbpf, object, { ...options, ringBytes });
    setConstants(libbpf, object, btf.section('.rodata'), { ...options, coarseBase });
    const plan = options.connectHooks ? planConnectHooks() : undefined;
    let connectHooksMissing = plan && !plan.possible ? plan.reason : undefined;
    if (!plan?.possible) for (const name of CONNECT_PROGRAMS) libbpf.setAutoload(program(name), false);
    const programs = PROGRAMS.filter((name) => plan?.possible || !isConnectProgram(name));
    if (options.pinPath !== '') {
      pins = openPins(options.pinPath, options, MAPS, HOOKED_PROGRAMS, CONNECT_PROGRAMS);
      for (const name of MAPS) libbpf.setPinPath(map(name), pins.mapPath(name));
    }
    const code = await libbpf.load(object);
    if (code < 0) throw loadFailure(-code, readLog());

    const fd = Object.fromEntries(MAPS.map((name) => [name, libbpf.mapFd(map(name))])) as Record<MapName, number>;
    const slots = mapSlots(libbpf, fd.slots, layouts.slot, slotCount, pages);
    const state = libbpf.mmap(fd.state, pages(layouts.state.size), 0, true).view;
    const resumed = pins?.resumed ?? false;
    if (!resumed) startHighWaterMarks(new DataView(state), layouts.state, coarseBase);
    const kernelState = openKernelState(state, layouts.state);
    options.onAttaching(kernelState);
    for (const name of HOOKED_PROGRAMS) links.push(await attachHooked(libbpf, name, program(name), pins, readLog));
    const programFds = Object.fromEntries(programs.map((name) => [name, libbpf.programFd(program(name))]));
    if (plan?.possible) {
      try {
        connectHooks = attachConnectHooks(libbpf, (name) => programFds[name]!, plan.cgroupRoot, pins);
      } catch (error) {
        connectHooksMissing = (error as Error).message;
      }
    }
    if (!options.connectHooks) for (const name of CONNECT_PROGRAMS) if (pins?.hasLink(name)) pins.dropLink(name);
    const settle = async () => {
      for (;;) {
        const code = await libbpf.testRun(programFds.tcpledger_settle!);
        if (code < 0 || kernelState.silentConnects() === 0) return code;
        const failed = await libbpf.testRun(programFds.tcpledger_fail!);
        if (failed < 0) return failed;
      }
    };
    /* how long the machine has slept must be known before the first connection's time is told */
    const settled = await settle();
    if (settled < 0) throw loadFailure(-settled, readLog());
    kernelState.setCounting(true);
    if (options.adopt && !resumed) await adoptOlder(libbpf, program);
    pins?.complete();

    const word = Buffer.alloc(4);
    const wordOf = (slot: number) => {
      word.writeUInt32LE(slot);
      return word;
    };
    return {
      layouts,
      slotCount,
      coarseBase,
      maxConnections: options.maxConnections,
      slots,
      state,
      ring: mapRing(libbpf, fd.records, ringBytes, pageBytes),
      resumed,
      connectHooksMissing,
      programs,
      /* the kernel gives a map's number once a boot */
      mapsId: `${readFileSync(BOOT_ID, 'latin1').trim()}/${libbpf.mapId(fd.slots)}`,
      bootTimeNs: () => libbpf.bootTimeNs(),
      settle,
      indexLookup: (pair) => (libbpf.lookup(fd.index, pair, word) === 0 ? word.readUInt32LE() : undefined),
      indexDelete: (pair) => void libbpf.remove(fd.index, pair),
      writeSlot: (slot, value) => libbpf.update(fd.slots, wordOf(slot), value, 0),
      pushSpare: (slot) => libbpf.update(slot >= coarseBase ? fd.spare_coarse : fd.spare, null, wordOf(slot), 0),
      popSpare(coarse) {
        const code = libbpf.take(coarse ? fd.spare_coarse : fd.spare, word);
        return code < 0 ? code : word.readUInt32LE();
      },
      listeners: () => readAll(libbpf, fd.listeners, layouts.listener.size),
      statistics: (name) => libbpf.statistics(programFds[name]!),
      async detach() {
        if (!pins) kernelState.setCounting(false);
        await detach();
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const isConnectProgram = (name: ProgramName): boolean => (CONNECT_PROGRAMS as readonly string[]).includes(name);

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

function mapSlots(
  libbpf: Libbpf,
  fd: number,
  slot: Layout,
  slotCount: number,
  pages: (bytes: number) => number,
): SlotMemory {
  const chunkBytes = slot.size * SLOTS_PER_CHUNK;
  return createSlotMemory(slot, (chunk) => {
    const length = pages(Math.min(chunkBytes, slot.size * slotCount - chunk * chunkBytes));
    return libbpf.mmap(fd, length, chunk * chunkBytes, false).view;
  });
}

/** The positions' pages, and a window of the data behind them. */
function mapRing(libbpf: Libbpf, fd: number, bytes: number, pageBytes: number): RingMemory {
  const dataAt = 2 * pageBytes;
  const window = libbpf.mmap(fd, Math.min(RING_WINDOW, 2 * bytes), dataAt, false);
  return {
    consumer: libbpf.mmap(fd, pageBytes, 0, true).view,
    producer: libbpf.mmap(fd, pageBytes, pageBytes, false).view,
    bytes,
    pageBytes,
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
