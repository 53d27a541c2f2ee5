/**
 * The running receiver: the kernel half, read on two timers. The ring is drained every 20 ms into connection records, less
 * often while none come, and not at all where no pipeline wants them; the slots are swept every second (or settle_interval, if shorter) into pair batches. Open connections are settled every
 * settle_interval, off the event loop, just before a sweep.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { bpfObjectPath } from '../build-info.ts';
import type { Host, ReceiverOutputs, Settings } from '../collector/component.ts';
import { TcpledgerError } from '../collector/errors.ts';
import { isStorageExtension } from '../collector/storage.ts';
import type { ReceiverConfig } from './config.ts';
import type { Kernel, KernelOptions } from './kernel.ts';
import { type KernelState, openKernelState } from './kernel-state.ts';
import { createPairFeed, type PairFeed } from './pair-feed.ts';
import { createPairSource } from './pair-source.ts';
import { BATCH_RECORDS, createRecordFeed } from './record-feed.ts';
import { createRecycler, type RecyclerOptions } from './recycler.ts';
import { repeat } from './repeat.ts';
import { type OpenedSlotJournal, openSlotJournal } from './slot-journal.ts';
import { createSweep } from './sweep.ts';
import { observeKernel } from './telemetry.ts';
import { createWallClock, type WallClock } from './wall-clock.ts';

const DRAIN_MS = 20;
/** After a drain that found nothing: a node that only waits costs next to nothing, and a line is late by this at most. */
const IDLE_DRAIN_MS = 50;
/** Without a logs pipeline: what was written before it was taken away makes room. */
const UNWANTED_DRAIN_MS = 1000;
const SWEEP_MS = 1000;
/** Housekeeping, and sweeps that look behind the slots' change counts, come every so many sweeps. */
const HOUSEKEEPING_SWEEPS = 10;

/** What tests replace. */
export interface ReceiverDependencies {
  readonly openKernel: (options: KernelOptions) => Promise<Kernel>;
  readonly recycler: RecyclerOptions;
}

export interface Running {
  outputsChanged(): void;
  /** Detaches, then reads what is left, so that what was handed on is all there was. */
  stop(deadline: AbortSignal): Promise<void>;
}

export async function startReceiver(
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
    connectHooks: config.connect_hooks,
    onAttaching: (state) => switchKernel(state, outputs, config),
  });
  try {
    const opened = await openJournal(settings, config, host, kernel);
    settings.logger.info(
      kernel.resumed
        ? `took over the kernel half pinned at ${config.pin_path}: it has gone on counting`
        : 'the kernel half is attached',
    );
    if (kernel.connectHooksMissing !== undefined) {
      settings.logger.warn(
        `what applications dial is not seen, nor connects that fail before a packet could leave: ${kernel.connectHooksMissing}. All else is counted. Grant CAP_NET_ADMIN and mount a cgroup2 file system, or set receivers.${settings.id}.connect_hooks to false to hear no more of it.`,
      );
    }
    return run(settings, config, outputs, host, kernel, opened, dependencies.recycler);
  } catch (error) {
    await kernel.close();
    throw error;
  }
}

/** The switches that depend on who listens. */
function switchKernel(state: KernelState, outputs: ReceiverOutputs, config: ReceiverConfig): void {
  state.setByExecutable(outputs.needsExecutable);
  if (!outputs.logs) state.setRecords([]);
  else state.setRecords(config.open_records ? ['open', 'close', 'fail'] : ['close', 'fail']);
}

async function openJournal(
  settings: Settings,
  config: ReceiverConfig,
  host: Host,
  kernel: Kernel,
): Promise<OpenedSlotJournal | undefined> {
  if (config.storage === '') return undefined;
  const extension = host.extension(config.storage);
  if (!isStorageExtension(extension)) {
    throw new TcpledgerError(
      'TCPL_E_CONFIG',
      `receivers.${settings.id}.storage: ${config.storage} is no storage extension. Name a file_storage.`,
    );
  }
  const journal = await extension.journal(settings.id, 'slots');
  try {
    return await openSlotJournal(journal, kernel.mapsId, kernel.slots.generation);
  } catch (error) {
    await journal.close();
    throw error;
  }
}

function run(
  settings: Settings,
  config: ReceiverConfig,
  outputs: ReceiverOutputs,
  host: Host,
  kernel: Kernel,
  opened: OpenedSlotJournal | undefined,
  waits: RecyclerOptions,
): Running {
  const journal = opened?.journal;
  const state = openKernelState(kernel.state, kernel.layouts.state);
  const clock = createWallClock(kernel.bootTimeNs);
  const sweep = createSweep(kernel);
  const recycler = createRecycler(kernel, sweep, async (slots) => journal?.recycle(slots), waits);
  for (const { slot, totals } of opened?.told ?? []) {
    sweep.told(slot, totals);
    /* no sweep will find anything new in it, nor the index: without this nobody would ever give it back */
    recycler.touched(slot, kernel.bootTimeNs());
  }
  const source = createPairSource(kernel, recycler, journal, clock);
  const records = createRecordFeed(kernel, outputs, source);
  const restored = opened?.restored;
  const pairs = createPairFeed({ settings, kernel, outputs, source, sweep, recycler, journal, restored });
  const unobserve = observeKernel(settings.telemetry, kernel, state, recycler, records);

  const fail = (error: Error) => host.fail(error);
  const draining = repeat(() => {
    const count = records.drain();
    if (count === BATCH_RECORDS) return 0;
    if (!outputs.logs) return UNWANTED_DRAIN_MS;
    return count > 0 ? DRAIN_MS : IDLE_DRAIN_MS;
  }, fail);
  const sweeping = repeat(sweepOnTime(kernel, clock, pairs, config.settle_interval), fail);
  return {
    outputsChanged() {
      switchKernel(state, outputs, config);
      draining.hasten();
    },
    async stop(deadline) {
      await Promise.all([draining.stop(), sweeping.stop()]);
      try {
        await kernel.detach();
        await pairs.settle();
        await pairs.sweep(true);
        while (records.drain() === BATCH_RECORDS) {
          if (deadline.aborted) {
            const left = Math.ceil(records.fill() * 100);
            settings.logger.warn(`the time to stop is over: the access-log ring, ${left} % full, is dropped`);
            break;
          }
          await nextTurn();
        }
        await pairs.close();
      } finally {
        unobserve();
        await kernel.close();
      }
    },
  };
}

/** One turn of the sweep's timer; returns the milliseconds until the next. */
function sweepOnTime(
  kernel: Kernel,
  clock: WallClock,
  pairs: PairFeed,
  settleIntervalMs: number,
): () => Promise<number> {
  const pauseMs = Math.min(SWEEP_MS, settleIntervalMs);
  let sweeps = 0;
  let settledNs = 0;
  return async () => {
    const nowNs = kernel.bootTimeNs();
    clock.synchronize();
    /* half a sweep early rather than half a sweep late */
    if (nowNs - settledNs > (settleIntervalMs - SWEEP_MS / 2) * 1e6) {
      settledNs = nowNs;
      await pairs.settle();
    }
    const housekeeping = ++sweeps % HOUSEKEEPING_SWEEPS === 0;
    await pairs.sweep(housekeeping);
    if (housekeeping) await pairs.housekeep();
    return pauseMs;
  };
}
