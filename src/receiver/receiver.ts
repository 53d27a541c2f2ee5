/**
 * The receiver `ebpf_tcp`: the kernel half, read on three timers. The ring is drained every 20 ms into connection
 * records; the slots are swept every second (or settle_interval, if shorter) into pair batches; open connections are
 * settled every settle_interval, off the event loop, just before a sweep.
 */
import { readFileSync } from 'node:fs';
import { bpfObjectPath } from '../build-info.ts';
import type { Host, Receiver, ReceiverFactory, ReceiverOutputs, Settings } from '../collector/component.ts';
import { TcpledgerError } from '../collector/errors.ts';
import { isStorageExtension } from '../collector/storage.ts';
import { PAIR_STRIDE } from '../semconv/pair-fields.ts';
import { AGENT_METRICS } from '../semconv/registry.ts';
import { RECEIVER_SCHEMA, type ReceiverConfig } from './config.ts';
import { type Kernel, type KernelOptions, openKernel } from './kernel.ts';
import { type KernelState, openKernelState } from './kernel-state.ts';
import { createPairReader, FIRST_PAIR_SLOT } from './pairs.ts';
import { createRecordReader } from './record.ts';
import { createRecycler, RECYCLER_DEFAULTS, type Recycler, type RecyclerOptions } from './recycler.ts';
import { openRing, type Ring } from './ring.ts';
import { openSlotJournal, type SlotJournal } from './slot-journal.ts';
import { createSweep, type Sweep, type SweptRows } from './sweep.ts';
import { observeKernel } from './telemetry.ts';
import type { ConnectionRecord, PairBatch, PairSource } from './types.ts';
import { createWallClock, type WallClock } from './wall-clock.ts';

const DRAIN_MS = 20;
/** Records decoded before the event loop gets its turn, about 1 ms. */
const DRAIN_RECORDS = 2048;
const SWEEP_MS = 1000;
/** Recycler passes, journal flushes and sweeps that look behind `changes` come every so many sweeps. */
const HOUSEKEEPING_SWEEPS = 10;

/** What tests replace. */
export interface ReceiverDependencies {
  readonly openKernel: (options: KernelOptions) => Promise<Kernel>;
  readonly recycler: RecyclerOptions;
}

const DEPENDENCIES: ReceiverDependencies = { openKernel, recycler: RECYCLER_DEFAULTS };

export const ebpfTcpReceiver: ReceiverFactory<ReceiverConfig> = {
  kind: 'receiver',
  type: 'ebpf_tcp',
  description: 'Counts every TCP connection of the node in the kernel, by eBPF',
  schema: RECEIVER_SCHEMA,
  signals: ['metrics', 'logs'],
  produces: 'connections',
  create: (settings, config, outputs) => createReceiver(settings, config, outputs),
};

export function createReceiver(
  settings: Settings,
  config: ReceiverConfig,
  outputs: ReceiverOutputs,
  dependencies: ReceiverDependencies = DEPENDENCIES,
): Receiver {
  let running: Running | undefined;
  return {
    async start(host) {
      host.setReady(settings.id, 'the BPF programs are not attached');
      running = await startReceiver(settings, config, outputs, host, dependencies);
      host.setReady(settings.id, undefined);
    },
    async shutdown() {
      await running?.stop();
      running = undefined;
    },
    outputsChanged: () => running?.outputsChanged(),
  };
}

interface Running {
  outputsChanged(): void;
  stop(): Promise<void>;
}

async function startReceiver(
  settings: Settings,
  config: ReceiverConfig,
  outputs: ReceiverOutputs,
  host: Host,
  dependencies: ReceiverDependencies,
): Promise<Running> {
  const kernel = await dependencies.openKernel({
    objectPath: bpfObjectPath(),
    maxPairs: config.max_pairs,
    maxConnections: config.max_connections,
    ringBytes: config.access_log_buffer,
    loopback: config.loopback,
    adopt: config.adopt,
    pinPath: config.pin_path,
    onAttaching: (state) => switchKernel(state, outputs),
  });
  const state = openKernelState(kernel.state, kernel.layouts.state);
  const sweep = createSweep(kernel);
  const clock = createWallClock(kernel.bootTimeNs);
  const journal = await openJournal(settings, config, host, kernel).catch(async (error) => {
    await kernel.close();
    throw error;
  });
  const recycler = createRecycler(kernel, sweep, async (slots) => journal?.recycle(slots), dependencies.recycler);
  const source = createPairSource(kernel, recycler, journal, clock);
  settings.logger.info(
    kernel.resumed
      ? `took over the kernel half pinned at ${config.pin_path}: it has gone on counting`
      : 'the kernel half is attached',
  );
  const reader = new Reader(settings, kernel, outputs, source, sweep, recycler, journal, clock, state);
  reader.begin(config.settle_interval);
  return {
    outputsChanged: () => switchKernel(state, outputs),
    stop: () => reader.end(),
  };
}

/** The switches that depend on who listens. */
function switchKernel(state: KernelState, outputs: ReceiverOutputs): void {
  state.setByExecutable(outputs.needsExecutable);
  state.setRecords(outputs.logs ? ['close', 'fail'] : []);
}

async function openJournal(
  settings: Settings,
  config: ReceiverConfig,
  host: Host,
  kernel: Kernel,
): Promise<SlotJournal | undefined> {
  if (config.storage === '') return undefined;
  const extension = host.extension(config.storage);
  if (!isStorageExtension(extension)) {
    throw new TcpledgerError(
      'TCPL_E_CONFIG',
      `receivers.${settings.id}.storage: ${config.storage} is no storage extension. Name a file_storage.`,
    );
  }
  return openSlotJournal(await extension.journal(settings.id, 'slots'), kernel.slots.generation, !kernel.resumed);
}

function createPairSource(
  kernel: Kernel,
  recycler: Recycler,
  journal: SlotJournal | undefined,
  clock: WallClock,
): PairSource {
  const { slots, layouts } = kernel;
  const pairOf = createPairReader(slots, layouts.slot, layouts.pair);
  const isCurrent = (slot: number, generation: number) => slots.generation(slot) === generation;
  return {
    pair: (slot, generation) => (isCurrent(slot, generation) ? pairOf(slot) : undefined),
    renew(slot, generation) {
      if (slot >= FIRST_PAIR_SLOT && isCurrent(slot, generation)) recycler.retire(slot, kernel.bootTimeNs());
    },
    remember: (slot, generation, labels) => journal?.remember(slot, generation, labels),
    recall: (slot, generation) => journal?.recall(slot, generation),
    wallClock: (bootNs) => clock.at(bootNs),
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim().replaceAll('-', ''),
  };
}

/** The timers, and what they do. */
class Reader {
  private readonly records: ConnectionRecord[] = [];
  private readonly ring: Ring;
  private readonly read: (at: number) => ConnectionRecord;
  private readonly settings: Settings;
  private readonly kernel: Kernel;
  private readonly outputs: ReceiverOutputs;
  private readonly source: PairSource;
  private readonly sweep: Sweep;
  private readonly recycler: Recycler;
  private readonly journal: SlotJournal | undefined;
  private readonly clock: WallClock;
  private readonly unobserve: () => void;
  private readonly settleSeconds;
  private readonly sweepSeconds;
  private readonly storageFailures;
  private restored: PairBatch['restored'];
  private sweeps = 0;
  private settledNs = 0;
  private ending = false;
  private storageFailed = false;
  private settleFailed = false;
  private drainTimer: NodeJS.Timeout | undefined;
  private sweepTimer: NodeJS.Timeout | undefined;
  private sweeping: Promise<void> = Promise.resolve();

  constructor(
    settings: Settings,
    kernel: Kernel,
    outputs: ReceiverOutputs,
    source: PairSource,
    sweep: Sweep,
    recycler: Recycler,
    journal: SlotJournal | undefined,
    clock: WallClock,
    state: KernelState,
  ) {
    this.settings = settings;
    this.kernel = kernel;
    this.outputs = outputs;
    this.source = source;
    this.sweep = sweep;
    this.recycler = recycler;
    this.journal = journal;
    this.clock = clock;
    this.ring = openRing(kernel.ring);
    this.read = createRecordReader(this.ring.memory, kernel.layouts.record);
    const { telemetry } = settings;
    this.settleSeconds = telemetry.histogram(AGENT_METRICS.settleDuration);
    this.sweepSeconds = telemetry.histogram(AGENT_METRICS.slotsReadDuration);
    this.storageFailures = telemetry.counter(AGENT_METRICS.storageFailures);
    this.unobserve = observeKernel(telemetry, kernel, state, recycler, this.ring);
    this.restored = journal?.restored();
    for (const [first, end] of journal ? sweep.ranges() : []) {
      for (let slot = first; slot < end; slot++) {
        const totals = journal?.told(slot);
        if (totals) sweep.told(slot, totals);
      }
    }
  }

  begin(settleIntervalMs: number): void {
    const interval = Math.min(SWEEP_MS, settleIntervalMs);
    const drain = () => {
      const more = this.drain();
      if (!this.ending) this.drainTimer = setTimeout(drain, more ? 0 : DRAIN_MS);
    };
    const tick = () => {
      this.sweeping = this.tick(settleIntervalMs).finally(() => {
        if (!this.ending) this.sweepTimer = setTimeout(tick, interval);
      });
    };
    drain();
    tick();
  }

  /** Detaches, then reads what is left, so that what was handed on is all there was. */
  async end(): Promise<void> {
    this.ending = true;
    clearTimeout(this.drainTimer);
    clearTimeout(this.sweepTimer);
    await this.sweeping;
    await this.kernel.detach();
    await this.settle();
    await this.readSlots(true);
    while (this.drain());
    this.unobserve();
    try {
      await this.journal?.close();
    } catch (error) {
      this.storageFailure(error);
    }
    await this.kernel.close();
  }

  /** True when there may be more. */
  private drain(): boolean {
    const { records } = this;
    const count = this.ring.drain((at) => {
      records.push(this.read(at));
    }, DRAIN_RECORDS);
    if (records.length > 0) {
      this.outputs.logs?.consume({ records, source: this.source });
      records.length = 0;
    }
    return count === DRAIN_RECORDS;
  }

  private async tick(settleIntervalMs: number): Promise<void> {
    const now = this.kernel.bootTimeNs();
    this.clock.synchronize();
    /* half a sweep early rather than half a sweep late */
    if (now - this.settledNs > settleIntervalMs * 1e6 - (SWEEP_MS * 1e6) / 2) {
      this.settledNs = now;
      await this.settle();
    }
    const housekeeping = ++this.sweeps % HOUSEKEEPING_SWEEPS === 0;
    await this.readSlots(housekeeping);
    if (!housekeeping) return;
    try {
      await this.recycler.run(this.kernel.bootTimeNs(), this.handOn);
      await this.journal?.flush();
      this.storageFailed = false;
    } catch (error) {
      this.storageFailure(error);
    }
  }

  private async settle(): Promise<void> {
    const from = performance.now();
    const code = await this.kernel.settle();
    this.settleSeconds.record((performance.now() - from) / 1000);
    if (code < 0 && !this.settleFailed) {
      this.settings.logger.error(
        `cannot settle the open connections: the kernel answers errno ${-code}. Their bytes are counted when they close.`,
      );
    }
    this.settleFailed = code < 0;
  }

  private async readSlots(all: boolean): Promise<void> {
    const from = performance.now();
    await this.sweep.run(this.handOn, all);
    this.sweepSeconds.record((performance.now() - from) / 1000);
  }

  private readonly handOn = (rows: SweptRows): void => {
    const timeNs = this.kernel.bootTimeNs();
    for (let i = 0; i < rows.count; i++) this.recycler.touched(rows.slot[i]!, timeNs);
    const { metrics } = this.outputs;
    if (!metrics) return;
    const batch: PairBatch = {
      count: rows.count,
      slot: rows.slot,
      generation: rows.generation,
      values: rows.values,
      stride: PAIR_STRIDE,
      timeNs,
      source: this.source,
      ...(this.restored ? { restored: this.restored } : {}),
    };
    this.restored = undefined;
    metrics.consume(batch);
  };

  /** Nothing is lost: the slots keep their totals and their names are written with the next flush. Told once until it works again. */
  private storageFailure(error: unknown): void {
    this.storageFailures.add(1);
    if (!this.storageFailed) {
      this.settings.logger.error(
        `cannot write to the slots' journal: ${(error as Error).message}. Slots are not recycled until it works again.`,
      );
    }
    this.storageFailed = true;
  }
}
