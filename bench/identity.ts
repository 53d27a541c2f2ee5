/**
 * What naming costs: a row of a slot seen before, a new slot, the memory of a directory of 10,000 workloads, and the
 * longest block of the event loop while such a file is read.
 *
 * Method: one process, medians of rounds after a warm-up. A row seen before: batches of 4,096 rows through the metrics
 * consumer of the processor into a consumer that does nothing; the reference, in turns in the same run, is the same loop
 * with one Map lookup a row by `slot/generation`. A new slot: the same batches with a generation not seen before, half of
 * them by pod ip, half by VIP, labels remembered. Memory: heap in use after a collection, with and without the file's
 * workloads. Blocks: monitorEventLoopDelay at 1 ms while the processor starts. Not measured: waiting slots.
 *
 *     node bench/run.mjs identity
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Host, Settings } from '../src/collector/component.ts';
import { createIdentityProcessor } from '../src/identity/processor.ts';
import type { Pair, PairBatch, PairSource } from '../src/receiver/types.ts';
import { PAIR_STRIDE } from '../src/semconv/pair-fields.ts';
import { median } from './support/figures.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

const WORKLOADS = 10_000;
const SERVICES = 500;
const ROWS = 4_096;
const ROUNDS = 15;

const podIp = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
const vip = (i: number) => `10.96.${i >> 8}.${i & 255}`;

function workloadFile(): string {
  const workloads = Array.from(
    { length: WORKLOADS },
    (_, i) => `- uid: Kubernetes//Pod/ns${i % 50}/app-${i % SERVICES}-7c9f6d8b5-${i}
  name: app-${i % SERVICES}-7c9f6d8b5-${i}
  namespace: ns${i % 50}
  serviceAccount: app-${i % SERVICES}
  workloadName: app-${i % SERVICES}
  canonicalName: app-${i % SERVICES}
  canonicalRevision: v1
  workloadIps: ["${podIp(i)}"]
  node: node-${i % 100}
  services: {"ns${(i % SERVICES) % 50}/app-${i % SERVICES}.svc": {"80": 8080}}
`,
  );
  const services = Array.from(
    { length: SERVICES },
    (
      _,
      i,
    ) => `- {name: app-${i}, namespace: ns${i % 50}, hostname: app-${i}.svc, vips: ["/${vip(i)}"], ports: {80: 8080}}
`,
  );
  return `workloads:\n${workloads.join('')}services:\n${services.join('')}`;
}

let generation = 1;
const source: PairSource = {
  pair: (slot, asked): Pair => ({
    slot,
    generation: asked,
    kind: 'pair',
    role: 'source',
    localAddress: podIp(slot),
    remoteAddress: slot % 2 === 0 ? podIp(WORKLOADS - 1 - slot) : vip(slot % SERVICES),
    servicePort: slot % 2 === 0 ? 8080 : 80,
    cgroupId: 0n,
    netns: 1,
    executable: '',
    dialledAddress: '',
    dialledPort: 0,
    createdNs: 1,
  }),
  renew: () => {},
  remember: () => {},
  recall: () => undefined,
  wallClock: () => ({ seconds: 1_795_450_579, nanos: 0 }),
  bootId: '0123456789abcdef0123456789abcdef',
};

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

const slot = Uint32Array.from({ length: ROWS }, (_, i) => i + 1);
const values = new Float64Array(ROWS * PAIR_STRIDE);
let timeNs = 0;
const batch = (): PairBatch => ({
  count: ROWS,
  slot,
  generation: new Uint32Array(ROWS).fill(generation),
  values,
  stride: PAIR_STRIDE,
  timeNs: ++timeNs,
  source,
});

/** Nanoseconds a row. */
function time(run: () => void, repeats: number): number {
  const began = performance.now();
  for (let i = 0; i < repeats; i++) run();
  return ((performance.now() - began) * 1e6) / (repeats * ROWS);
}

function heapMiB(): number {
  collectGarbage();
  collectGarbage();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tcpledger-bench-'));
  const path = join(folder, 'workloads.yaml');
  writeFileSync(path, workloadFile());
  const config = {
    sources: ['file'],
    resolve_timeout: 5_000,
    series_ttl: 900_000,
    conntrack: false,
    file: { path, network: '' },
  };
  const identity = createIdentityProcessor(settings, config as Parameters<typeof createIdentityProcessor>[1]);
  let passed = 0;
  const consumer = identity.metrics!(
    { consume: ({ peers }) => (passed += peers.length) },
    { id: 'metrics', signal: 'metrics', shared: (_key, create) => create() },
  );
  const before = heapMiB();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const began = performance.now();
  await identity.start(host);
  const loadMs = performance.now() - began;
  delay.disable();
  rmSync(folder, { recursive: true });
  const directoryMiB = heapMiB() - before;

  const known = batch();
  consumer.consume(known);
  const byKey = new Map(Array.from(slot, (s) => [`${s}/${generation}`, s]));
  let found = 0;
  const reference = () => {
    for (let row = 0; row < ROWS; row++) found += byKey.get(`${slot[row]}/${known.generation[row]}`)!;
  };
  const seen: number[] = [];
  const byMap: number[] = [];
  const fresh: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    seen.push(time(() => consumer.consume({ ...known, timeNs: ++timeNs }), 100));
    byMap.push(time(reference, 100));
  }
  for (let round = 0; round < ROUNDS; round++) {
    generation++;
    const next = batch();
    fresh.push(time(() => consumer.consume(next), 1));
  }
  await identity.shutdown(new AbortController().signal);
  if (passed === 0 || found === 0) throw new Error('nothing went through');

  console.log(`identity: Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim()}`);
  console.log(
    `  row of a slot seen before   ${median(seen).toFixed(1)} ns (a Map lookup by text: ${median(byMap).toFixed(1)} ns)`,
  );
  console.log(`  new slot, named and indexed ${(median(fresh) / 1000).toFixed(2)} µs`);
  console.log(`  ${WORKLOADS} workloads in the directory: ${directoryMiB.toFixed(1)} MiB of heap`);
  console.log(`  reading their file: ${loadMs.toFixed(0)} ms, longest block ${(delay.max / 1e6).toFixed(0)} ms`);
}

void main();
