/** Fakes of what identity meets: time, the receiver's answers about slots, the cgroup tree, telemetry, the host. */
import type { Host, Pipeline, Settings, Signal } from '../../src/collector/component.ts';
import type { Logger } from '../../src/collector/logger.ts';
import type { LabelValues, Telemetry } from '../../src/collector/telemetry.ts';
import type { Clock } from '../../src/identity/clock.ts';
import { Directory } from '../../src/identity/directory.ts';
import type { ServiceObject, WorkloadObject } from '../../src/identity/objects.ts';
import type { SourceSettings } from '../../src/identity/source.ts';
import type { CgroupChange, CgroupTree } from '../../src/identity/sources/cgroup-tree.ts';
import type { NamespacePods } from '../../src/identity/sources/namespace-pods.ts';
import type { IdentifiedPairs, IdentifiedRecords, LocalContainer, Peers } from '../../src/identity/types.ts';
import { UNNAMED_FIELDS } from '../../src/identity/workload-pool.ts';
import type { ConnectionRecord, Pair, PairBatch, PairSource } from '../../src/receiver/types.ts';
import { addressOf, addressText } from '../../src/semconv/address.ts';
import { counterColumn, PAIR_STRIDE } from '../../src/semconv/pair-fields.ts';

/** Wall-clock ms at kernel time 0 of the fakes. */
const BOOT_MS = 1_700_000_000_000;

export class FakeClock implements Clock {
  /** By how much the node's clock has been set forward since the beginning. */
  setMs = 0;
  #now = BOOT_MS + 1_000_000;
  #tasks: { at: number; task: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.#now + this.setMs;
  }

  /** Kernel time of now. */
  get bootNs(): number {
    return (this.#now - BOOT_MS) * 1e6;
  }

  schedule(delayMs: number, task: () => void): () => void {
    const entry = { at: this.#now + Math.max(0, delayMs), task };
    this.#tasks.push(entry);
    return () => {
      this.#tasks = this.#tasks.filter((other) => other !== entry);
    };
  }

  /** Runs what is due, in order, while time passes. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#tasks.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#tasks = this.#tasks.filter((other) => other !== next);
      this.#now = Math.max(this.#now, next.at);
      next.task();
    }
    this.#now = end;
  }
}

/** A pair with its addresses as canonical text. */
export type PairTexts = Partial<Omit<Pair, Addresses> & { readonly [K in Addresses]: string }>;
type Addresses = 'localAddress' | 'remoteAddress' | 'dialledAddress';

export class FakePairSource implements PairSource {
  readonly bootId = '00000000000000000000000000000000';
  readonly pairs = new Map<string, Pair>();
  readonly renewed: string[] = [];
  readonly remembered = new Map<string, string>();
  readonly recallable = new Map<string, string>();
  #clock: FakeClock | undefined;
  #nextSlot = 1;

  add(clock: FakeClock, { localAddress, remoteAddress, dialledAddress, ...fields }: PairTexts = {}): Pair {
    this.#clock = clock;
    const pair: Pair = {
      slot: fields.slot ?? this.#nextSlot++,
      generation: 1,
      kind: 'pair',
      role: 'source',
      localAddress: addressOf(localAddress ?? '10.0.0.1'),
      remoteAddress: addressOf(remoteAddress ?? '10.0.0.2'),
      servicePort: 8080,
      cgroupId: 0,
      netns: 1,
      executable: '',
      dialledAddress: addressOf(dialledAddress ?? ''),
      dialledPort: 0,
      createdNs: clock.bootNs,
      ...fields,
    };
    this.pairs.set(`${pair.slot}/${pair.generation}`, pair);
    return pair;
  }

  pair(slot: number, generation: number): Pair | undefined {
    return this.pairs.get(`${slot}/${generation}`);
  }

  renew(slot: number, generation: number): void {
    this.renewed.push(`${slot}/${generation}`);
  }

  remember<Labels>(slot: number, generation: number, labels: Labels, textOf: (labels: Labels) => string): void {
    this.remembered.set(`${slot}/${generation}`, textOf(labels));
  }

  recall(slot: number, generation: number): string | undefined {
    return this.recallable.get(`${slot}/${generation}`);
  }

  wallClock(bootNs: number): { seconds: number; nanos: number } {
    const ms = BOOT_MS + bootNs / 1e6 + (this.#clock?.setMs ?? 0);
    return { seconds: Math.floor(ms / 1000), nanos: Math.round((ms % 1000) * 1e6) };
  }
}

export class FakeCgroups implements CgroupTree {
  readonly problem = undefined;
  readonly mountPoint: string | undefined = '/sys/fs/cgroup';
  readonly paths = new Map<number, string>();
  readonly lookingFor = new Set<number>();
  readonly #listeners = new Set<(change: CgroupChange) => void>();

  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  path(id: number): string | undefined {
    return this.paths.get(id);
  }

  entries(): IterableIterator<[number, string]> {
    return this.paths.entries();
  }

  looking(id: number): boolean {
    return this.lookingFor.has(id);
  }

  onChange(listener: (change: CgroupChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  change({
    added = [],
    removed = [],
    absent = [],
  }: {
    added?: [number, string][];
    removed?: number[];
    absent?: number[];
  }) {
    const gone = new Map(removed.map((id) => [id, this.paths.get(id)!]));
    for (const id of removed) this.paths.delete(id);
    for (const [id, path] of added) this.paths.set(id, path);
    for (const id of [...absent, ...added.map(([id]) => id)]) this.lookingFor.delete(id);
    const change = { added: new Map(added), removed: gone, absent: new Set(absent) };
    for (const listener of this.#listeners) listener(change);
  }
}

export class FakeNamespaces implements NamespacePods {
  readonly pods = new Map<number, LocalContainer>();
  readonly lookingFor = new Set<number>();
  readonly #listeners = new Set<(netns: ReadonlySet<number>) => void>();

  owner(netns: number): LocalContainer | undefined {
    return this.pods.get(netns);
  }

  looking(netns: number): boolean {
    return this.lookingFor.has(netns);
  }

  onChange(listener: (netns: ReadonlySet<number>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {}

  /** A reading has found the pod that was looked for. */
  find(netns: number, pod: LocalContainer): void {
    this.lookingFor.delete(netns);
    this.pods.set(netns, pod);
    for (const listener of this.#listeners) listener(new Set([netns]));
  }
}

export class FakeLogger implements Logger {
  readonly lines: string[] = [];
  debug(message: string): void {
    this.lines.push(`debug ${message}`);
  }
  info(message: string): void {
    this.lines.push(`info ${message}`);
  }
  warn(message: string): void {
    this.lines.push(`warn ${message}`);
  }
  error(message: string): void {
    this.lines.push(`error ${message}`);
  }
}

export class FakeTelemetry implements Telemetry {
  readonly values = new Map<string, number>();
  readonly #observers = new Map<string, Set<Parameters<Telemetry['observe']>[1]>>();

  counter(definition: { name: string }, labels: LabelValues = {}) {
    const key = `${definition.name}${JSON.stringify(labels)}`;
    this.values.set(key, this.values.get(key) ?? 0);
    return { add: (value: number) => void this.values.set(key, this.values.get(key)! + value) };
  }

  histogram() {
    return { record: () => {} };
  }

  observe(definition: { name: string }, observe: Parameters<Telemetry['observe']>[1]): () => void {
    const observers = this.#observers.get(definition.name) ?? new Set();
    this.#observers.set(definition.name, observers.add(observe));
    return () => observers.delete(observe);
  }

  /** What an observed gauge reports now. */
  observed(name: string): Record<string, number> {
    const result: Record<string, number> = {};
    for (const observe of this.#observers.get(name) ?? []) {
      observe((value, labels) => {
        result[Object.values(labels ?? {}).join('/')] = value;
      });
    }
    return result;
  }

  collect() {
    return [];
  }
}

export class FakeHost implements Host {
  readonly missing = new Map<string, string>();
  extension() {
    return undefined;
  }
  setReady(id: string, missing: string | undefined): void {
    if (missing === undefined) this.missing.delete(id);
    else this.missing.set(id, missing);
  }
  notReady() {
    return this.missing;
  }
  fail(error: Error): void {
    throw error;
  }
}

export function settings(): Settings & { logger: FakeLogger; telemetry: FakeTelemetry } {
  return { id: 'identity', logger: new FakeLogger(), telemetry: new FakeTelemetry(), version: '0' };
}

/** What a source is created with. */
export function sourceSettings(given: Partial<SourceSettings> = {}): SourceSettings {
  const clock = given.clock ?? new FakeClock();
  return {
    logger: new FakeLogger(),
    clock,
    directory: new Directory(clock),
    cgroups: new FakeCgroups(),
    telemetry: new FakeTelemetry(),
    readinessChanged: () => {},
    ...given,
  };
}

export const pipeline = (signal: Signal, id: string = signal): Pipeline => ({
  id,
  signal,
  shared: (_key, create) => create(),
});

export const SENT = counterColumn('sent');
export const ACTIVE = counterColumn('active');

/** A batch with one row for each pair; `fields` sets columns of its row. */
export function batchOf(
  source: PairSource,
  timeNs: number,
  rows: readonly [Pair, Record<number, number>][],
): PairBatch {
  const values = new Float64Array(rows.length * PAIR_STRIDE);
  rows.forEach(([, fields], row) => {
    for (const [column, value] of Object.entries(fields)) values[row * PAIR_STRIDE + Number(column)] = value;
  });
  return {
    count: rows.length,
    slot: Uint32Array.from(rows, ([pair]) => pair.slot),
    generation: Uint32Array.from(rows, ([pair]) => pair.generation),
    values,
    stride: PAIR_STRIDE,
    timeNs,
    source,
  };
}

export function recordOf(pair: Pair, fields: Partial<ConnectionRecord> = {}): ConnectionRecord {
  return {
    event: 'close',
    connectionId: '1',
    slot: pair.slot,
    generation: pair.generation,
    role: pair.role,
    localAddress: addressText(pair.localAddress),
    localPort: pair.role === 'source' ? 40_000 : pair.servicePort,
    remoteAddress: addressText(pair.remoteAddress),
    remotePort: pair.role === 'source' ? pair.servicePort : 40_000,
    dialledPort: 0,
    adopted: false,
    timeNs: pair.createdNs,
    openedNs: pair.createdNs,
    establishedNs: pair.createdNs,
    bytesSent: 0,
    bytesReceived: 0,
    closeReason: 'normal',
    errno: 0,
    errorType: undefined,
    smoothedRttUs: 0,
    minRttUs: 0,
    retransmits: 0,
    lost: 0,
    segmentsSent: 0,
    segmentsReceived: 0,
    pid: 0,
    executable: pair.executable,
    ...fields,
  };
}

/** Keeps what it is given, copied as a real consumer must. */
export class PairSink {
  readonly rows: { slot: number; generation: number; sent: number; active: number; peers: Peers }[] = [];
  readonly batches: IdentifiedPairs[] = [];

  consume(pairs: IdentifiedPairs): void {
    this.batches.push({ ...pairs, peers: [...pairs.peers] });
    const { batch } = pairs;
    for (let row = 0; row < batch.count; row++) {
      this.rows.push({
        slot: batch.slot[row]!,
        generation: batch.generation[row]!,
        sent: batch.values[row * batch.stride + SENT]!,
        active: batch.values[row * batch.stride + ACTIVE]!,
        peers: pairs.peers[row]!,
      });
    }
  }
}

export class RecordSink {
  readonly lines: { record: ConnectionRecord; peers: Peers }[] = [];

  consume({ records, peers }: IdentifiedRecords): void {
    records.forEach((record, at) => {
      this.lines.push({ record, peers: peers[at]! });
    });
  }
}

export function workload(
  fields: Partial<WorkloadObject> & { uid: string; name?: string; namespace?: string },
): WorkloadObject {
  const { name = fields.uid, namespace = 'default', ...rest } = fields;
  return {
    fields: { ...UNNAMED_FIELDS, name, namespace, podName: `${name}-pod` },
    addresses: [],
    network: '',
    hostNetwork: false,
    pod: false,
    hbone: false,
    cgroups: [],
    services: new Map(),
    ...rest,
  };
}

export function service(
  fields: Partial<Omit<ServiceObject, 'service'>> & { hostname: string; namespace?: string },
): ServiceObject {
  const { hostname, namespace = 'default', ...rest } = fields;
  return {
    key: `${namespace}/${hostname}`,
    service: { hostname, namespace, name: hostname.split('.')[0]! },
    vips: [],
    ports: new Map(),
    canonical: false,
    ...rest,
  };
}
