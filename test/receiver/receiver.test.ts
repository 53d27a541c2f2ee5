/** The receiver from its start to its end, on a kernel in memory. */
import { readFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Component, Host, Receiver } from '../../src/collector/component.ts';
import { TcpledgerError } from '../../src/collector/errors.ts';
import type { Telemetry } from '../../src/collector/telemetry.ts';
import { createTelemetry } from '../../src/collector/telemetry-store.ts';
import type { ReceiverConfig } from '../../src/receiver/config.ts';
import type { KernelOptions } from '../../src/receiver/kernel.ts';
import { KERNEL_OPERATIONS, openKernelState } from '../../src/receiver/kernel-state.ts';
import { createReceiver } from '../../src/receiver/receiver.ts';
import { openSlotJournal } from '../../src/receiver/slot-journal.ts';
import { createSweep } from '../../src/receiver/sweep.ts';
import type { ConnectionRecord, PairBatch, PairSource, RecordBatch } from '../../src/receiver/types.ts';
import { addressOf } from '../../src/semconv/address.ts';
import { counterColumn, PAIR_STRIDE, type PairCounter } from '../../src/semconv/pair-fields.ts';
import { FakeJournal } from './fake-journal.ts';
import { FakeKernel, ipBytes } from './fake-kernel.ts';

const CONFIG: ReceiverConfig = {
  settle_interval: 10,
  max_pairs: 64,
  max_connections: 4096,
  access_log_buffer: 4096,
  open_records: false,
  loopback: true,
  adopt: true,
  connect_hooks: true,
  pin_path: '',
  storage: '',
};
/** Everything is due as soon as it is idle. */
const AT_ONCE = { idleNs: 0, quarantineNs: 0, pressedNs: 0 };
const NEVER = new AbortController().signal;

/** Waits for what a timer of the receiver will do. */
const until = (expectation: () => void) => vi.waitFor(expectation, { timeout: 30_000, interval: 2 });

interface Rig {
  readonly kernel: FakeKernel;
  readonly receiver: Receiver;
  readonly host: Host & { readonly ready: (string | undefined)[]; readonly failures: Error[] };
  readonly lines: string[];
  readonly telemetry: Telemetry;
  readonly journal: FakeJournal;
  readonly records: ConnectionRecord[];
  readonly outputs: {
    metrics: { consume(batch: PairBatch): void } | undefined;
    logs: { consume(batch: RecordBatch): void } | undefined;
    needsExecutable: boolean;
  };
  /** Sum of a counter over all batches. */
  sum(counter: PairCounter): number;
  readonly restored: { labels: string | undefined; opened: number }[];
  source: PairSource | undefined;
  /** Value of a family's point with these labels. */
  told(family: string, labels?: Record<string, string>): number | undefined;
}

interface RigOptions {
  readonly kernel?: FakeKernel;
  readonly config?: Partial<ReceiverConfig>;
  readonly journal?: FakeJournal;
  readonly extension?: Component | undefined;
  readonly openKernel?: (options: KernelOptions) => Promise<FakeKernel>;
}

function rig({
  kernel = new FakeKernel(),
  config,
  journal = new FakeJournal(),
  extension,
  openKernel,
}: RigOptions = {}): Rig {
  const lines: string[] = [];
  const at = (level: string) => (message: string) => {
    lines.push(`${level} ${message}`);
  };
  const logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  const telemetry = createTelemetry((_name, error) => {
    throw error;
  });
  const storage = { start: async () => {}, shutdown: async () => {}, journal: async () => journal };
  const ready: (string | undefined)[] = [];
  const failures: Error[] = [];
  const host = {
    ready,
    failures,
    extension: (id: string) => (id === 'file_storage' ? (extension ?? storage) : undefined),
    setReady: (_id: string, missing: string | undefined) => void ready.push(missing),
    notReady: () => new Map<string, string>(),
    fail: (error: Error) => void failures.push(error),
  };
  const sums = new Map<number, number>();
  const it: Omit<Rig, 'receiver'> = {
    kernel,
    host,
    lines,
    telemetry,
    journal,
    records: [],
    restored: [],
    source: undefined,
    outputs: {
      metrics: {
        consume(batch) {
          kernel.calls.push('metrics');
          it.source = batch.source;
          for (const { labels, values } of batch.restored ?? []) it.restored.push({ labels, opened: values[0]! });
          for (let i = 0; i < batch.count; i++) {
            for (let column = 0; column < batch.stride; column++) {
              sums.set(column, (sums.get(column) ?? 0) + batch.values[i * batch.stride + column]!);
            }
          }
        },
      },
      logs: {
        consume({ records }) {
          kernel.calls.push('logs');
          it.records.push(...records);
        },
      },
      needsExecutable: true,
    },
    sum: (counter) => sums.get(counterColumn(counter)) ?? 0,
    told(family, labels = {}) {
      const points = telemetry.collect().find(({ definition }) => definition.name === family)?.points ?? [];
      const point = points.find((one) => JSON.stringify(one.labels) === JSON.stringify(labels));
      return point && ('value' in point ? point.value : point.count);
    },
  };
  const receiver = createReceiver(
    { id: 'ebpf_tcp', logger, telemetry, version: 'x' },
    { ...CONFIG, ...config },
    it.outputs,
    {
      openKernel:
        openKernel ??
        (async (options) => {
          options.onAttaching(openKernelState(kernel.state, kernel.layouts.state));
          return kernel;
        }),
      recycler: AT_ONCE,
    },
  );
  onTestFinished(() => receiver.shutdown(NEVER));
  return Object.assign(it, { receiver });
}

function closeRecord(kernel: FakeKernel, slot: number, id = 1n): Buffer {
  return kernel.recordBytes({
    id,
    event: 1,
    role: 1,
    slot,
    local_ip: ipBytes('10.0.0.1'),
    remote_ip: ipBytes('10.0.0.2'),
    sent: 11n,
    received: 22n,
  });
}

const STORED = { pin_path: '/sys/fs/bpf/x', storage: 'file_storage' };

test('records and batches arrive, with a source that knows their pairs', async () => {
  const it = rig();
  const { kernel } = it;
  await it.receiver.start(it.host);
  expect(it.host.ready).toEqual(['the BPF programs are not attached', undefined]);
  expect(it.lines).toEqual(['info the kernel half is attached']);
  const slot = kernel.slotOf({ remote: '192.0.2.1', comm: 'curl' });
  kernel.count(slot, { counters: { opened: 1, closed: 1, sent: 11, received: 22 } });
  kernel.ring.write(closeRecord(kernel, slot, 77n));
  await until(() => {
    expect(it.records).toHaveLength(1);
    expect(it.sum('sent')).toBe(11);
  });
  expect(it.records[0]).toMatchObject({ event: 'close', connectionId: 77, slot, bytesSent: 11, bytesReceived: 22 });
  expect([it.sum('opened'), it.sum('closed'), it.sum('received'), it.sum('active')]).toEqual([1, 1, 22, 0]);
  expect(it.source!.pair(slot, 0)).toMatchObject({ remoteAddress: addressOf('192.0.2.1'), executable: 'curl' });
});

test('the pair source: generations, renewal, times, boot', async () => {
  const it = rig();
  const { kernel } = it;
  await it.receiver.start(it.host);
  const slot = kernel.slotOf({});
  kernel.count(slot, { counters: { opened: 1 } });
  await until(() => expect(it.source).toBeDefined());
  const source = it.source!;
  expect(source.pair(slot, 1)).toBeUndefined();
  source.renew(slot, 1);
  source.renew(0, 0);
  expect(kernel.index.size).toBe(1);
  source.renew(slot, 0);
  expect(kernel.index.size).toBe(0);
  expect(kernel.slotOf({})).not.toBe(slot);
  const { seconds } = source.wallClock(kernel.nowNs);
  expect(Math.abs(seconds - Date.now() / 1000)).toBeLessThan(60);
  expect(source.bootId).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').replace(/[-\n]/g, ''));
  /* without storage nothing is kept */
  source.remember(slot, 0, '{}', String);
  expect(source.recall(slot, 0)).toBeUndefined();
});

describe('the end', () => {
  test('detaches first, then settles, sweeps and drains what is left, and closes last', async () => {
    const it = rig();
    const { kernel } = it;
    await it.receiver.start(it.host);
    const slot = kernel.slotOf({});
    await until(() => expect(kernel.calls).toContain('settle'));
    kernel.calls.length = 0;
    /* a connection that is open at the end: the last settle advances it, though nothing counts any more */
    kernel.onSettle = () => {
      if (kernel.calls.includes('detach')) kernel.countSilently(slot, { counters: { sent: 5 } });
    };
    const stopping = it.receiver.shutdown(NEVER);
    kernel.ring.write(closeRecord(kernel, slot));
    await stopping;
    const calls = kernel.calls.slice(kernel.calls.indexOf('detach'));
    expect(calls).toEqual(['detach', 'settle', 'metrics', 'logs', 'close']);
    expect(it.sum('sent')).toBe(5);
    expect(it.records).toHaveLength(1);
    expect(it.told('tcpledger_map_capacity', { map: 'slots' })).toBeUndefined();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(kernel.calls.at(-1)).toBe('close');
  });

  test('a full ring is handed on to the last record', async () => {
    const kernel = new FakeKernel({ ringBytes: 1024 * 1024 });
    const it = rig({ kernel });
    await it.receiver.start(it.host);
    let written = 0;
    const stopping = it.receiver.shutdown(NEVER);
    while (kernel.ring.reserve(144) !== undefined) written++;
    const header = 8 + 144;
    for (let i = 0; i < written; i++) kernel.ring.commit(BigInt(header * i), closeRecord(kernel, 2, BigInt(i)));
    await stopping;
    expect(it.records.map(({ connectionId }) => Number(connectionId))).toEqual(
      Array.from({ length: written }, (_, i) => i),
    );
    expect(written).toBeGreaterThan(6000);
  });

  test('when the time is over the rest of the ring is dropped, and told', async () => {
    const kernel = new FakeKernel({ ringBytes: 1024 * 1024 });
    const it = rig({ kernel });
    await it.receiver.start(it.host);
    const stopping = it.receiver.shutdown(AbortSignal.abort());
    for (let i = 0; i < 5000; i++) kernel.ring.write(closeRecord(kernel, 2));
    await stopping;
    expect(it.records.length).toBeLessThan(5000);
    expect(it.lines.at(-1)).toMatch(/^warn the time to stop is over: the access-log ring, \d+ % full, is dropped/);
    expect(kernel.calls.at(-1)).toBe('close');
  });

  test('before the start, and twice', async () => {
    const it = rig();
    await it.receiver.shutdown(NEVER);
    await it.receiver.start(it.host);
    await it.receiver.shutdown(NEVER);
    await it.receiver.shutdown(NEVER);
    expect(it.kernel.calls.filter((call) => call === 'close')).toHaveLength(1);
  });

  test('while the start is under way takes the programs off', async () => {
    const kernel = new FakeKernel();
    let attached = (_kernel: FakeKernel) => {};
    const it = rig({
      kernel,
      openKernel: () =>
        new Promise((resolve) => {
          attached = resolve;
        }),
    });
    const starting = it.receiver.start(it.host);
    const stopping = it.receiver.shutdown(NEVER);
    attached(kernel);
    await Promise.all([starting, stopping]);
    expect(kernel.calls.slice(-1)).toEqual(['close']);
    expect(kernel.calls).toContain('detach');
  });

  test('after a start that failed', async () => {
    const it = rig({
      openKernel: async () => {
        throw new TcpledgerError('TCPL_E_PRIVILEGE', 'no');
      },
    });
    await expect(it.receiver.start(it.host)).rejects.toThrow('no');
    await it.receiver.shutdown(NEVER);
    expect(it.host.ready).toEqual(['the BPF programs are not attached']);
  });
});

test('the switches follow the outputs', async () => {
  const it = rig();
  const { kernel } = it;
  it.outputs.logs = undefined;
  it.outputs.needsExecutable = false;
  await it.receiver.start(it.host);
  expect([kernel.stateWord('record_events'), kernel.stateWord('by_executable')]).toEqual([0, 0]);
  const seen: ConnectionRecord[] = [];
  it.outputs.logs = { consume: ({ records }) => void seen.push(...records) };
  it.outputs.needsExecutable = true;
  it.receiver.outputsChanged!();
  expect([kernel.stateWord('record_events'), kernel.stateWord('by_executable')]).toEqual([0b110, 1]);
  kernel.ring.write(closeRecord(kernel, 2));
  await until(() => expect(seen).toHaveLength(1));
});

test('records of openings are asked for by configuration, where there is a logs pipeline', async () => {
  const it = rig({ config: { open_records: true } });
  await it.receiver.start(it.host);
  expect(it.kernel.stateWord('record_events')).toBe(0b111);
  it.outputs.logs = undefined;
  it.receiver.outputsChanged!();
  expect(it.kernel.stateWord('record_events')).toBe(0);
});

test('without a metrics pipeline what was restored waits for one', async () => {
  const it = rig({ config: STORED });
  await seedJournal(it.journal, it.kernel);
  it.kernel.resumed = true;
  const { metrics } = it.outputs;
  it.outputs.metrics = undefined;
  await it.receiver.start(it.host);
  await until(() => expect(it.kernel.calls.filter((call) => call === 'settle').length).toBeGreaterThan(3));
  expect(it.restored).toEqual([]);
  it.outputs.metrics = metrics;
  await until(() => expect(it.restored).toEqual([{ labels: 'a', opened: 3 }]));
});

test('a settle that fails is told once until it works again', async () => {
  const it = rig();
  const { kernel } = it;
  const settles = () => kernel.calls.filter((call) => call === 'settle').length;
  const errors = () => it.lines.filter((line) => line.startsWith('error'));
  kernel.settleCode = -1;
  await it.receiver.start(it.host);
  await until(() => expect(settles()).toBeGreaterThan(4));
  expect(errors()).toEqual([expect.stringMatching(/cannot settle the open connections: the kernel answers EPERM/)]);
  kernel.settleCode = 0;
  const healed = settles();
  await until(() => expect(settles()).toBeGreaterThan(healed + 1));
  kernel.settleCode = -22;
  await until(() => expect(errors()).toHaveLength(2));
  expect(errors()[1]).toContain('EINVAL');
  expect(it.host.failures).toEqual([]);
});

test('what a pipeline throws stops the agent, not the process, and the programs come off', async () => {
  const it = rig();
  const { kernel } = it;
  it.outputs.metrics = {
    consume() {
      throw new Error('a bug');
    },
  };
  await it.receiver.start(it.host);
  kernel.count(kernel.slotOf({}), { counters: { opened: 1 } });
  await until(() => expect(it.host.failures.map(({ message }) => message)).toEqual(['a bug']));
  kernel.count(2, { counters: { opened: 1 } });
  await expect(it.receiver.shutdown(NEVER)).rejects.toThrow('a bug');
  expect(kernel.calls).toContain('detach');
  expect(kernel.calls.at(-1)).toBe('close');
});

/** As an earlier agent left it: slot 2's generation 0 has passed, with 3 connections. */
async function seedJournal(journal: FakeJournal, kernel: FakeKernel): Promise<void> {
  const totals = new Float64Array(PAIR_STRIDE);
  totals[0] = 3;
  const { journal: slots } = await openSlotJournal(journal, kernel.mapsId, () => 0);
  slots.remember(2, 0, 'a', String);
  await slots.recycle([{ slot: 2, generation: 0, totals }]);
  kernel.bytes(2).writeUInt32LE(1, kernel.layouts.slot.offset('generation'));
}

describe('with storage', () => {
  test('an id that is no storage extension', async () => {
    const it = rig({ config: { ...STORED, storage: 'other' } });
    await expect(it.receiver.start(it.host)).rejects.toThrow(
      expect.objectContaining({
        code: 'TCPL_E_CONFIG',
        message: expect.stringContaining('receivers.ebpf_tcp.storage: other'),
      }),
    );
    expect(it.kernel.calls).toEqual(['close']);
  });

  test('a journal that cannot be begun', async () => {
    const it = rig({ config: STORED });
    it.journal.refuses = true;
    await expect(it.receiver.start(it.host)).rejects.toThrow(expect.objectContaining({ code: 'TCPL_E_STORAGE' }));
    expect(it.kernel.calls).toEqual(['close']);
    expect(it.journal.closed).toBe(true);
  });

  test('what was recycled is told at once, even if nothing is counted', async () => {
    const it = rig({ config: STORED });
    await seedJournal(it.journal, it.kernel);
    it.kernel.resumed = true;
    await it.receiver.start(it.host);
    await until(() => expect(it.restored).toEqual([{ labels: 'a', opened: 3 }]));
    expect(it.lines[0]).toMatch(/took over the kernel half pinned at \/sys\/fs\/bpf\/x/);
    await it.receiver.shutdown(NEVER);
    expect(it.restored).toHaveLength(1);
  });

  test('a slot whose agent was killed between writing and zeroing is given back by the next', async () => {
    const it = rig({ config: STORED });
    const { kernel, journal } = it;
    const slot = kernel.slotOf({});
    kernel.count(slot, { counters: { opened: 3, closed: 3 } });
    const sweep = createSweep(kernel);
    await sweep.run(() => {});
    const killed = await openSlotJournal(journal, kernel.mapsId, kernel.slots.generation);
    killed.journal.remember(slot, 0, 'a', String);
    await killed.journal.recycle([{ slot, generation: 0, totals: sweep.totals(slot) }]);
    kernel.index.clear();
    kernel.resumed = true;
    await it.receiver.start(it.host);
    await until(() => expect(it.told('tcpledger_slots_recycled')).toBe(1));
    expect(kernel.spare).toEqual([slot]);
    expect(it.restored).toEqual([{ labels: 'a', opened: 3 }]);
    expect(it.sum('opened')).toBe(0);
  });

  test('a failure keeps the slots, is counted, told once, and over when writing works again', async () => {
    const it = rig({ config: STORED });
    const { kernel, journal } = it;
    await it.receiver.start(it.host);
    journal.refuses = true;
    const slot = kernel.slotOf({});
    kernel.count(slot, { counters: { opened: 1, closed: 1 } });
    await until(() => expect(it.sum('opened')).toBe(1));
    it.source!.remember(slot, 0, 'a', String);
    await until(() => expect(it.told('tcpledger_storage_failures')).toBeGreaterThan(2));
    expect(kernel.calls.some((call) => call.startsWith('write'))).toBe(false);
    const errors = it.lines.filter((line) => line.startsWith('error'));
    expect(errors).toEqual([expect.stringMatching(/the journal is full\. No slot is recycled until it works again/)]);
    journal.refuses = false;
    await until(() => expect(it.told('tcpledger_slots_recycled')).toBe(1));
    expect(it.host.failures).toEqual([]);
  });

  test('labels that come after their pair has lost the slot leave those of the next pair in place', async () => {
    const it = rig({ config: STORED });
    const { kernel } = it;
    await it.receiver.start(it.host);
    const slot = kernel.slotOf({});
    kernel.count(slot, { counters: { opened: 1 } });
    await until(() => expect(it.source).toBeDefined());
    kernel.bytes(slot).writeUInt32LE(1, kernel.layouts.slot.offset('generation'));
    it.source!.remember(slot, 1, 'b', String);
    it.source!.remember(slot, 0, 'a', String);
    expect(it.source!.recall(slot, 1)).toBe('b');
    await it.receiver.shutdown(NEVER);
  });

  test('a kernel that refuses to take slots back is told of, and the agent goes on', async () => {
    const it = rig();
    it.kernel.refusal = -1;
    await it.receiver.start(it.host);
    it.kernel.count(it.kernel.slotOf({}), { counters: { opened: 1, closed: 1 } });
    await until(() => expect(it.lines.at(-1)).toMatch(/^error cannot zero slot 2: the kernel answers EPERM/));
    expect(it.told('tcpledger_storage_failures')).toBe(0);
    expect(it.host.failures).toEqual([]);
  });

  test('over three agents on the same maps, everything that was counted is told, and nothing twice', async () => {
    const kernel = new FakeKernel();
    const journal = new FakeJournal();
    let counted = 0;
    let recycledBefore = 0;
    for (let agent = 0; agent < 3; agent++) {
      const it = rig({ kernel, journal, config: STORED });
      /* counted while no agent was there */
      const away = kernel.slotOf({ servicePort: 1000 + agent });
      kernel.count(away, { counters: { opened: 2, closed: 1 } });
      counted += 2;
      await it.receiver.start(it.host);
      await until(() => expect(it.source).toBeDefined());
      for (let i = 0; i < 3; i++) {
        const slot = kernel.slotOf({ servicePort: 100 * agent + i });
        it.source!.remember(slot, kernel.generation(slot), `labels ${i}`, String);
        kernel.count(slot, { counters: { opened: 5, closed: 5 } });
        counted += 5;
      }
      await until(() => expect(it.told('tcpledger_slots_recycled')).toBe(3));
      const restored = it.restored.reduce((sum, { opened }) => sum + opened, 0);
      expect(restored).toBe(recycledBefore);
      expect(restored + it.sum('opened')).toBe(counted);
      recycledBefore += 15;
      await it.receiver.shutdown(NEVER);
      kernel.resumed = true;
      kernel.nowNs += 1e9;
    }
  });
});

test('what the receiver tells about the kernel half', async () => {
  const it = rig();
  const { kernel } = it;
  kernel.addState('records_dropped', 7);
  kernel.addState('overflow_coarse', 8);
  kernel.addState('overflow_unattributed', 9);
  kernel.addState('conns_seen', 10);
  kernel.addState('listeners_seen', 11);
  KERNEL_OPERATIONS.forEach((_, i) => {
    kernel.addState('errors', 20 + i, i);
  });
  await it.receiver.start(it.host);
  expect(it.told('tcpledger_access_log_dropped', { reason: 'ring_full' })).toBe(7);
  expect(it.told('tcpledger_pair_overflow', { kind: 'coarse' })).toBe(8);
  expect(it.told('tcpledger_pair_overflow', { kind: 'unattributed' })).toBe(9);
  expect(it.told('tcpledger_map_entries', { map: 'conns' })).toBe(10);
  expect(it.told('tcpledger_map_entries', { map: 'listeners' })).toBe(11);
  expect(it.told('tcpledger_map_capacity', { map: 'slots' })).toBe(64);
  expect(it.told('tcpledger_map_capacity', { map: 'conns' })).toBe(4096);
  KERNEL_OPERATIONS.forEach((operation, i) => {
    expect(it.told('tcpledger_kernel_errors', { operation })).toBe(20 + i);
  });
  expect(it.told('tcpledger_bpf_runs', { program: 'tcpledger_settle' })).toBe('tcpledger_settle'.length);
  expect(it.told('tcpledger_bpf_run_seconds', { program: 'tcpledger_settle' })).toBe('tcpledger_settle'.length);
  const busy = kernel.ring.reserve(144)!;
  await until(() => expect(it.told('tcpledger_ring_fill_ratio')).toBeCloseTo(152 / 4096));
  kernel.ring.commit(busy, closeRecord(kernel, 2));
  await until(() => expect(it.told('tcpledger_settle_duration_seconds')).toBeGreaterThan(1));
  await until(() => expect(it.told('tcpledger_slots_read_duration_seconds')).toBeGreaterThan(1));
  kernel.count(kernel.slotOf({}), { counters: { opened: 1 } });
  await until(() => expect(it.told('tcpledger_map_entries', { map: 'slots' })).toBe(1));
});
