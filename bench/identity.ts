/**
 * What naming costs: a row of a slot seen before, a new slot, the memory of a directory of 10,000 workloads, and the
 * longest block of the event loop while such a file is read.
 *
 * Method: one process, medians of rounds after a warm-up, on a node of 110 pods in a mesh of 10,000 (support/node.ts).
 * 4,096 rows, in batches of 1,024 as the receiver's sweep makes them, go through the metrics consumer of the processor
 * into a consumer that does nothing. Each row opens a connection.
 *
 * A row seen before: the same batches again; the reference, in turns in the same run, is the same loop with one Map lookup
 * a row by `slot/generation`.
 *
 * A new slot: every slot has another pair in a new generation. It contains all that the agent does from the row of a
 * slot not seen before to its labels: the pair is read from the slots' memory and its addresses made into text, the slot
 * of the generation before is forgotten, the pair is indexed, looked for in what an earlier agent remembered, resolved,
 * labelled, and its labels handed to the journal of a receiver with storage. It does not contain what comes before (the
 * sweep) and after (series, page). The journal makes text of the labels and writes it later, with the receiver's
 * housekeeping: what that costs a slot stands beside it, with a journal in memory, so without the disk.
 *
 * Memory: heap in use after a collection, with and without the file's workloads. Blocks: monitorEventLoopDelay at 1 ms
 * while the processor starts. Not measured: waiting slots.
 *
 *     node bench/run.mjs identity
 */
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Host, Settings } from '../src/collector/component.ts';
import type { Journal } from '../src/collector/storage.ts';
import { systemClock } from '../src/identity/clock.ts';
import { createIdentityProcessor } from '../src/identity/processor.ts';
import { createCgroupTree } from '../src/identity/sources/cgroup-tree.ts';
import type { IdentifiedPairs } from '../src/identity/types.ts';
import { createPairSource } from '../src/receiver/pair-source.ts';
import { createRecycler } from '../src/receiver/recycler.ts';
import { openSlotJournal } from '../src/receiver/slot-journal.ts';
import { createSweep } from '../src/receiver/sweep.ts';
import type { PairBatch } from '../src/receiver/types.ts';
import { createWallClock } from '../src/receiver/wall-clock.ts';
import { counterColumn, PAIR_STRIDE } from '../src/semconv/pair-fields.ts';
import { median, tell } from './support/figures.ts';
import { MeshNode, WORKLOADS } from './support/node.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

const ROWS = 4_096;
const BATCH_ROWS = 1_024;
const WARM_UP = 5;
const ROUNDS = 25;

const silent = () => {};
const settings: Settings = {
  id: 'identity',
  logger: { debug: silent, info: silent, warn: console.error, error: console.error },
  telemetry: {
    counter: () => ({ add: silent }),
    histogram: () => ({ record: silent }),
    observe: () => silent,
    collect: () => [],
  },
  version: 'bench',
};
const host: Host = {
  extension: () => undefined,
  setReady: silent,
  notReady: () => new Map(),
  fail: (error) => {
    throw error;
  },
};
const memory: Journal = {
  read: async () => [],
  append: async () => {},
  rewrite: async () => {},
  close: async () => {},
};

const node = new MeshNode(ROWS);
const values = new Float64Array(BATCH_ROWS * PAIR_STRIDE);
for (let row = 0; row < BATCH_ROWS; row++) {
  for (const name of ['opened', 'active'] as const) values[row * PAIR_STRIDE + counterColumn(name)] = 1;
}

/** A receiver with storage, on the node's kernel half. */
async function openReceiver() {
  const { kernel } = node;
  const { journal } = await openSlotJournal(memory, kernel.mapsId, (slot) => kernel.generation(slot));
  const recycler = createRecycler(kernel, createSweep(kernel), async () => {});
  const source = createPairSource(kernel, recycler, journal, createWallClock(kernel.bootTimeNs));
  /** A sweep in which every slot has changed. */
  const sweep = (): readonly PairBatch[] => {
    kernel.nowNs++;
    const generation = new Uint32Array(BATCH_ROWS).fill(node.generation);
    return Array.from({ length: ROWS / BATCH_ROWS }, (_, at) => ({
      count: BATCH_ROWS,
      slot: node.slots.subarray(at * BATCH_ROWS, (at + 1) * BATCH_ROWS),
      generation,
      values,
      stride: PAIR_STRIDE,
      timeNs: kernel.nowNs,
      source,
    }));
  };
  return { journal, sweep };
}

/** Microseconds a row. */
async function time(run: () => void | Promise<void>, repeats = 1): Promise<number> {
  const began = performance.now();
  for (let i = 0; i < repeats; i++) await run();
  return ((performance.now() - began) * 1e3) / (repeats * ROWS);
}

function heapMiB(): number {
  collectGarbage();
  collectGarbage();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

async function main(): Promise<void> {
  const config = {
    sources: ['file'],
    resolve_timeout: 5_000,
    series_ttl: 900_000,
    conntrack: false,
    file: { path: node.workloadFile, network: '' },
  };
  const { logger } = settings;
  const cgroups = createCgroupTree({ clock: systemClock, logger, mountPoint: node.cgroups });
  const identity = createIdentityProcessor(settings, config as Parameters<typeof createIdentityProcessor>[1], {
    cgroups,
  });
  /** Rows with both ends named. */
  let named = 0;
  const count = ({ peers }: IdentifiedPairs) => {
    for (const { source, destination, service } of peers) if (source && destination && service) named++;
  };
  const next = { consume: count };
  const consumer = identity.metrics!(next, {
    id: 'metrics',
    signal: 'metrics',
    shared: (_key, create) => create(),
  });
  const before = heapMiB();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const began = performance.now();
  await identity.start(host);
  const loadMs = performance.now() - began;
  delay.disable();
  node.remove();
  const directoryMiB = heapMiB() - before;

  const consumeAll = (batches: readonly PairBatch[]) => {
    for (const batch of batches) consumer.consume(batch);
  };
  const { journal, sweep } = await openReceiver();
  const fresh: number[] = [];
  const written: number[] = [];
  for (let round = 0; round < WARM_UP + ROUNDS; round++) {
    node.renewSlots();
    const batches = sweep();
    fresh.push(await time(() => consumeAll(batches)));
    written.push(await time(() => journal.flush()));
  }
  const expected = (WARM_UP + ROUNDS) * ROWS;
  if (named !== expected) throw new Error(`${named} of ${expected} rows have both ends and a service`);

  next.consume = silent;
  const byKey = new Map(Array.from(node.slots, (slot) => [`${slot}/${node.generation}`, slot]));
  let found = 0;
  const reference = () => {
    for (const slot of node.slots) found += byKey.get(`${slot}/${node.generation}`)!;
  };
  const seen: number[] = [];
  const byMap: number[] = [];
  for (let round = 0; round < WARM_UP + ROUNDS; round++) {
    seen.push(await time(() => consumeAll(sweep()), 50));
    byMap.push(await time(reference, 50));
  }
  if (found === 0) throw new Error('the reference found nothing');
  await identity.shutdown(new AbortController().signal);

  const steady = (times: readonly number[]) => median(times.slice(WARM_UP));
  const byText = `a Map lookup by text: ${steady(byMap).toFixed(3)} µs`;
  tell([
    { name: 'row of a slot seen before', measured: steady(seen), unit: 'µs', atMost: 0.1, note: byText },
    { name: 'new slot, from its row to its labels', measured: steady(fresh), unit: 'µs', atMost: 2 },
    { name: '  its labels written to the journal', measured: steady(written), unit: 'µs' },
    { name: `${WORKLOADS} workloads in the directory`, measured: directoryMiB, unit: 'MiB of heap' },
    {
      name: 'reading their file',
      measured: loadMs,
      unit: 'ms',
      note: `longest block ${(delay.max / 1e6).toFixed(0)} ms`,
    },
  ]);
}

void main();
