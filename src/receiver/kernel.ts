/**
 * The kernel half as the receiver uses it: loaded, attached, its maps mapped. An interface, so that everything above runs
 * on a fake without root; open-kernel.ts is the real one.
 */
import type { Layout } from './btf.ts';
import type { KernelState } from './kernel-state.ts';
import type { ProgramStatistics } from './libbpf.ts';
import type { RingMemory } from './ring.ts';
import type { SlotMemory } from './slot-memory.ts';

/** The maps that outlive an agent when a pin path is configured, and those whose fill is shown. */
export const MAPS = [
  'index',
  'slots',
  'spare',
  'spare_coarse',
  'sockets',
  'conns',
  'per_cpu',
  'owners',
  'listeners',
  'records',
  'state',
] as const;
export type MapName = (typeof MAPS)[number];

/** The programs on inet_sock_set_state, in the order in which they must be attached. They outlive an agent as the maps do. */
export const HOOKED_PROGRAMS = ['tcpledger_state', 'tcpledger_again'] as const;

/** The programs on connect, which are there only where they are wanted and allowed. */
export const CONNECT_PROGRAMS = ['tcpledger_connect4', 'tcpledger_connect6'] as const;

export const PROGRAMS = [
  ...HOOKED_PROGRAMS,
  ...CONNECT_PROGRAMS,
  'tcpledger_settle',
  'tcpledger_fail',
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
  /** Also see what applications dial, where this machine allows it. */
  readonly connectHooks: boolean;
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
  /** Why what applications dial is not seen though it was asked for; undefined when it is, or need not be. */
  readonly connectHooksMissing: string | undefined;
  /** The programs that are loaded. */
  readonly programs: readonly ProgramName[];
  /** True when the maps are those of an earlier agent. */
  readonly resumed: boolean;
  /** Tells this set of maps from every other, for ever: whatever is kept outside the kernel about slots is about this set. */
  readonly mapsId: string;
  bootTimeNs(): number;
  /**
   * Advances the counters of the open connections, and counts connects that no transition followed. Resolves to the calls'
   * code (0 or a negative errno).
   */
  settle(): Promise<number>;
  /** The slot number of a pair's key, or undefined. */
  indexLookup(pair: Buffer): number | undefined;
  indexDelete(pair: Buffer): void;
  /** Writes a whole slot. Returns 0 or a negative errno. */
  writeSlot(slot: number, value: Buffer): number;
  /** Makes a zeroed slot available again. Returns 0 or a negative errno. */
  pushSpare(slot: number): number;
  /** Takes the pairs' or the coarse slot that has been spare for the longest. Returns its number or a negative errno: ENOENT when there is none. */
  popSpare(coarse: boolean): number;
  /** Every listener: the raw value of `listeners` (struct listener). */
  listeners(): Buffer[];
  statistics(program: ProgramName): ProgramStatistics;
  /** Stops counting, unless it is pinned: then the kernel half goes on. The maps stay readable. */
  detach(): Promise<void>;
  /** Frees all but what is pinned. */
  close(): Promise<void>;
}
