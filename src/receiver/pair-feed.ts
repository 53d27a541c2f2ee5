/**
 * Metrics pipelines' side: open connections are settled and the slots are swept into pair batches; now and then idle
 * slots are recycled.
 */
import type { ReceiverOutputs, Settings } from '../collector/component.ts';
import { TcpledgerError } from '../collector/errors.ts';
import { PAIR_STRIDE } from '../semconv/pair-fields.ts';
import { AGENT_METRICS } from '../semconv/registry.ts';
import type { Kernel } from './kernel.ts';
import { errnoName } from './libbpf.ts';
import type { Recycler } from './recycler.ts';
import type { SlotJournal } from './slot-journal.ts';
import type { Sweep, SweptRows } from './sweep.ts';
import type { PairBatch, PairSource } from './types.ts';

const NO_ROWS: SweptRows = {
  count: 0,
  slot: new Uint32Array(0),
  generation: new Uint32Array(0),
  values: new Float64Array(0),
};

export interface PairFeedParts {
  readonly settings: Settings;
  readonly kernel: Kernel;
  readonly outputs: ReceiverOutputs;
  readonly source: PairSource;
  readonly sweep: Sweep;
  readonly recycler: Recycler;
  readonly journal: SlotJournal | undefined;
  /** Goes out with the first batch. */
  readonly restored: PairBatch['restored'];
}

export interface PairFeed {
  /** Advances the counters of open connections in the kernel. */
  settle(): Promise<void>;
  /** Hands on what the slots have counted since the last time. `all`: looks behind their change counts too. */
  sweep(all: boolean): Promise<void>;
  /** Recycles idle slots, writes what the journal has pending. */
  housekeep(): Promise<void>;
  /** Closes the journal. */
  close(): Promise<void>;
}

export function createPairFeed(parts: PairFeedParts): PairFeed {
  const { settings, kernel, outputs, source, sweep, recycler, journal } = parts;
  const { logger, telemetry } = settings;
  const settleSeconds = telemetry.histogram(AGENT_METRICS.settleDuration);
  const sweepSeconds = telemetry.histogram(AGENT_METRICS.slotsReadDuration);
  const storageFailures = telemetry.counter(AGENT_METRICS.storageFailures);
  let restored = parts.restored?.length ? parts.restored : undefined;
  let settleFails = false;
  let housekeepingFails = false;

  const handOn = (rows: SweptRows) => {
    const timeNs = kernel.bootTimeNs();
    for (let i = 0; i < rows.count; i++) recycler.touched(rows.slot[i]!, timeNs);
    if (!outputs.metrics) return;
    const batch: PairBatch = {
      count: rows.count,
      slot: rows.slot,
      generation: rows.generation,
      values: rows.values,
      stride: PAIR_STRIDE,
      timeNs,
      source,
      ...(restored && { restored }),
    };
    restored = undefined;
    outputs.metrics.consume(batch);
  };
  /** Runs what may fail without harm to the totals, and tells of it once until it works again. */
  const attempt = async (work: () => Promise<void>) => {
    try {
      await work();
      housekeepingFails = false;
    } catch (error) {
      if (!(error instanceof TcpledgerError)) throw error;
      if (error.code === 'TCPL_E_STORAGE') storageFailures.add(1);
      if (!housekeepingFails) {
        logger.error(`${error.message} No slot is recycled until it works again; nothing that was counted is lost.`);
      }
      housekeepingFails = true;
    }
  };
  return {
    async settle() {
      const from = performance.now();
      const code = await kernel.settle();
      settleSeconds.record((performance.now() - from) / 1000);
      if (code < 0 && !settleFails) {
        logger.error(
          `cannot settle the open connections: the kernel answers ${errnoName(-code)}. Their bytes are counted when they close.`,
        );
      }
      settleFails = code < 0;
    },
    async sweep(all) {
      const from = performance.now();
      /* at once, even if no pair counts anything for a while */
      if (restored) handOn(NO_ROWS);
      await sweep.run(handOn, all);
      sweepSeconds.record((performance.now() - from) / 1000);
    },
    housekeep: () =>
      attempt(async () => {
        await recycler.run(handOn);
        await journal?.flush();
      }),
    close: () => attempt(async () => journal?.close()),
  };
}
