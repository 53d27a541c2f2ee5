/**
 * The kernel half in memory: maps laid out as the object's BTF says, and writers that act as the programs of bpf/ do.
 * Time stands still until a test moves it.
 */
import { constants } from 'node:os';
import { type Kernel, PROGRAMS, type ProgramName } from '../../src/receiver/kernel.ts';
import { createSlotMemory, SLOTS_PER_CHUNK, type SlotMemory } from '../../src/receiver/slot-memory.ts';
import type { Role } from '../../src/receiver/types.ts';
import { addressBytes } from '../../src/semconv/address.ts';
import {
  CONNECT_ERRORS,
  type ConnectError,
  PAIR_HISTOGRAMS,
  type PairHistogram,
} from '../../src/semconv/pair-fields.ts';
import { FakeRing } from './fake-ring.ts';
import { objectLayouts } from './object-layouts.ts';

const FIRST_PAIR_SLOT = 2;
const KIND_COARSE = 1;

export interface FakeKernelOptions {
  readonly slotCount?: number;
  readonly ringBytes?: number;
  readonly windowBytes?: number;
}

/** struct pair, without its kind. */
export interface PairKey {
  readonly local?: string;
  readonly remote?: string;
  readonly servicePort?: number;
  readonly role?: Role;
  readonly cgroupId?: bigint;
  readonly netns?: number;
  readonly comm?: string | Buffer;
  readonly dialled?: { readonly ip: string; readonly port: number };
}

/** What one update of a slot adds: u64 counters by name, errors, and histogram observations. */
export interface Counts {
  readonly counters?: Readonly<Record<string, number | bigint>>;
  readonly errors?: Partial<Record<ConnectError, number>>;
  readonly observations?: readonly { histogram: PairHistogram; bucket: number; ns: number }[];
}

/** 16 bytes, IPv4 v4-mapped. */
export function ipBytes(text: string): Buffer {
  const bytes = addressBytes(text);
  return bytes.length === 16 ? Buffer.from(bytes) : Buffer.from([...Array(10).fill(0), 0xff, 0xff, ...bytes]);
}

export class FakeKernel implements Kernel {
  readonly layouts = objectLayouts();
  readonly slotCount: number;
  readonly coarseBase: number;
  readonly maxConnections = 4096;
  readonly slots: SlotMemory;
  readonly state: ArrayBuffer;
  readonly ring: FakeRing;
  resumed = false;
  connectHooksMissing: string | undefined;
  readonly programs = PROGRAMS;
  mapsId = 'boot/1';
  nowNs = 1_000e9;
  /** What settle answers, and what it does before. */
  settleCode = 0;
  onSettle: () => void = () => {};
  /** What writeSlot, pushSpare and popSpare answer instead of doing it, when not 0. */
  refusal = 0;
  /** The agent is killed by its next call of pushSpare. */
  killed = false;
  /** Runs before a spare slot is taken by the agent: what programs do meanwhile. */
  onPopSpare: () => void = () => {};
  /** Calls in their order, without lookups. */
  readonly calls: string[] = [];
  readonly index = new Map<string, number>();
  readonly spare: number[] = [];
  readonly spareCoarse: number[] = [];
  /** The mapped chunks, as they were asked for. */
  readonly chunks: number[] = [];
  readonly #memory = new Map<number, ArrayBuffer>();

  constructor({ slotCount = 64, ringBytes = 4096, windowBytes }: FakeKernelOptions = {}) {
    this.slotCount = slotCount;
    this.coarseBase = slotCount - (slotCount >>> 3);
    this.slots = this.remap();
    this.state = new ArrayBuffer(4096);
    this.ring = new FakeRing(ringBytes, windowBytes);
    const view = new DataView(this.state);
    view.setUint32(this.layouts.state.offset('next_slot'), FIRST_PAIR_SLOT, true);
    view.setUint32(this.layouts.state.offset('next_coarse'), this.coarseBase, true);
  }

  /** The same slots as another process maps them. */
  remap(): SlotMemory {
    return createSlotMemory(this.layouts.slot, (chunk) => {
      this.chunks.push(chunk);
      return this.#chunk(chunk);
    });
  }

  bootTimeNs = (): number => this.nowNs;

  async settle(): Promise<number> {
    this.calls.push('settle');
    this.onSettle();
    return this.settleCode;
  }

  indexLookup(pair: Buffer): number | undefined {
    return this.index.get(pair.toString('hex'));
  }

  indexDelete(pair: Buffer): void {
    this.index.delete(pair.toString('hex'));
  }

  writeSlot(slot: number, value: Buffer): number {
    if (this.refusal !== 0) return this.refusal;
    if (value.length !== this.layouts.slot.size) throw new Error(`a slot has ${this.layouts.slot.size} bytes`);
    this.calls.push(`write ${slot}`);
    value.copy(this.bytes(slot));
    return 0;
  }

  pushSpare(slot: number): number {
    if (this.killed) throw new Error('killed');
    if (this.refusal !== 0) return this.refusal;
    const queue = slot >= this.coarseBase ? this.spareCoarse : this.spare;
    if (queue.includes(slot)) throw new Error(`slot ${slot} is spare already: two pairs would get it`);
    this.calls.push(`spare ${slot}`);
    queue.push(slot);
    return 0;
  }

  popSpare(coarse: boolean): number {
    if (this.refusal !== 0) return this.refusal;
    this.onPopSpare();
    return (coarse ? this.spareCoarse : this.spare).shift() ?? -constants.errno.ENOENT;
  }

  listeners(): Buffer[] {
    return [];
  }

  statistics(program: ProgramName): { runs: number; runNs: number } {
    return { runs: program.length, runNs: program.length * 1e9 };
  }

  async detach(): Promise<void> {
    this.calls.push('detach');
  }

  async close(): Promise<void> {
    this.calls.push('close');
  }

  /** A slot's bytes, writable. */
  bytes(slot: number): Buffer {
    const { size } = this.layouts.slot;
    return Buffer.from(this.#chunk(Math.floor(slot / SLOTS_PER_CHUNK)), (slot % SLOTS_PER_CHUNK) * size, size);
  }

  generation(slot: number): number {
    return this.bytes(slot).readUInt32LE(this.layouts.slot.offset('generation'));
  }

  u64(slot: number, field: string): bigint {
    return this.bytes(slot).readBigUInt64LE(this.layouts.slot.offset(field));
  }

  /** slot_of of bpf/pair.h. */
  slotOf(key: PairKey): number {
    const pair = this.pairBytes(key);
    return this.index.get(pair.toString('hex')) ?? this.#newSlot(pair);
  }

  pairBytes({ local, remote, servicePort, role, cgroupId, netns, comm, dialled }: PairKey): Buffer {
    const { pair } = this.layouts;
    const bytes = Buffer.alloc(pair.size);
    ipBytes(local ?? '10.0.0.1').copy(bytes, pair.offset('local_ip'));
    ipBytes(remote ?? '10.0.0.2').copy(bytes, pair.offset('remote_ip'));
    bytes.writeBigUInt64LE(cgroupId ?? 1n, pair.offset('cgroup_id'));
    bytes.writeUInt32LE(netns ?? 4026531840, pair.offset('netns'));
    bytes.writeUInt16LE(servicePort ?? 80, pair.offset('service_port'));
    bytes.writeUInt8(role === 'destination' ? 2 : 1, pair.offset('role'));
    Buffer.from(comm ?? '').copy(bytes, pair.offset('comm'), 0, 16);
    if (dialled) {
      ipBytes(dialled.ip).copy(bytes, pair.offset('dialled_ip'));
      bytes.writeUInt16LE(dialled.port, pair.offset('dialled_port'));
    }
    return bytes;
  }

  /** One update: the counters first, `changes` behind them. */
  count(slot: number, counts: Counts): void {
    this.countSilently(slot, counts);
    this.changed(slot);
  }

  /** The counters of an update that has not raised `changes` yet. */
  countSilently(slot: number, { counters = {}, errors = {}, observations = [] }: Counts): void {
    const { slot: layout } = this.layouts;
    const bytes = this.bytes(slot);
    const add64 = (at: number, value: bigint) => {
      bytes.writeBigUInt64LE((bytes.readBigUInt64LE(at) + value) & 0xffff_ffff_ffff_ffffn, at);
    };
    const add32 = (at: number, value: number) => bytes.writeUInt32LE((bytes.readUInt32LE(at) + value) >>> 0, at);
    for (const [name, value] of Object.entries(counters)) add64(layout.offset(name), BigInt(value));
    for (const [name, value] of Object.entries(errors)) {
      add32(layout.offset('errors') + 4 * CONNECT_ERRORS.indexOf(name as ConnectError), value);
    }
    for (const { histogram, bucket, ns } of observations) {
      const h = PAIR_HISTOGRAMS.findIndex(({ name }) => name === histogram);
      add32(layout.offset('buckets') + 4 * (16 * h + bucket), 1);
      add64(layout.offset('sums') + 8 * h, BigInt(ns));
    }
  }

  changed(slot: number): void {
    const at = this.layouts.slot.offset('changes');
    const bytes = this.bytes(slot);
    bytes.writeBigUInt64LE(bytes.readBigUInt64LE(at) + 1n, at);
  }

  /** A field of struct state, u64. */
  addState(field: string, value: number, index = 0): void {
    const view = new DataView(this.state);
    const at = this.layouts.state.offset(field) + 8 * index;
    view.setBigUint64(at, view.getBigUint64(at, true) + BigInt(value), true);
  }

  stateWord(field: string): number {
    return new DataView(this.state).getUint32(this.layouts.state.offset(field), true);
  }

  /** struct record with these fields; the rest is 0. Bytes as they are, numbers by the field's size. */
  recordBytes(fields: Readonly<Record<string, number | bigint | Buffer>>): Buffer {
    const { record } = this.layouts;
    const bytes = Buffer.alloc(record.size);
    for (const [name, value] of Object.entries(fields)) {
      const at = record.offset(name);
      if (Buffer.isBuffer(value)) value.copy(bytes, at);
      else if (typeof value === 'bigint') bytes.writeBigUInt64LE(value, at);
      else bytes.writeUIntLE(value, at, RECORD_WIDTHS[name] ?? 4);
    }
    return bytes;
  }

  #newSlot(pair: Buffer): number {
    const { pair: layout } = this.layouts;
    const own = this.#take(this.spare, 'next_slot', this.coarseBase);
    if (own !== undefined) return this.#publish(pair, own);
    pair.fill(0, layout.offset('remote_ip'), layout.offset('remote_ip') + 16);
    pair.writeUInt8(KIND_COARSE, layout.offset('kind'));
    const known = this.index.get(pair.toString('hex'));
    const coarse = known ?? this.#take(this.spareCoarse, 'next_coarse', this.slotCount);
    this.addState(coarse === undefined ? 'overflow_unattributed' : 'overflow_coarse', 1);
    if (coarse === undefined) return pair.readUInt8(layout.offset('role')) === 2 ? 1 : 0;
    return known ?? this.#publish(pair, coarse);
  }

  #take(queue: number[], mark: string, end: number): number | undefined {
    const recycled = queue.shift();
    if (recycled !== undefined) return recycled;
    const next = this.stateWord(mark);
    if (next >= end) return undefined;
    new DataView(this.state).setUint32(this.layouts.state.offset(mark), next + 1, true);
    return next;
  }

  #publish(pair: Buffer, slot: number): number {
    const { slot: layout } = this.layouts;
    pair.copy(this.bytes(slot), layout.offset('pair'));
    this.bytes(slot).writeBigUInt64LE(BigInt(this.nowNs), layout.offset('created_ns'));
    this.index.set(pair.toString('hex'), slot);
    return slot;
  }

  #chunk(chunk: number): ArrayBuffer {
    let memory = this.#memory.get(chunk);
    if (!memory) {
      const slots = Math.min(SLOTS_PER_CHUNK, this.slotCount - chunk * SLOTS_PER_CHUNK);
      memory = new ArrayBuffer(Math.ceil((slots * this.layouts.slot.size) / 4096) * 4096);
      this.#memory.set(chunk, memory);
    }
    return memory;
  }
}

const RECORD_WIDTHS: Readonly<Record<string, number>> = {
  local_port: 2,
  remote_port: 2,
  event: 1,
  role: 1,
  close_reason: 1,
  connect_error: 1,
  sk_err: 1,
  adopted: 1,
  dialled_port: 2,
};
