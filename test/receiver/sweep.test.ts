import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SLOTS_PER_CHUNK, type SlotMemory } from '../../src/receiver/slot-memory.ts';
import { createSweep, type Sweep, type SweptRows } from '../../src/receiver/sweep.ts';
import {
  CONNECT_ERRORS,
  counterColumn,
  errorColumn,
  histogramColumn,
  PAIR_COUNTERS,
  PAIR_HISTOGRAMS,
  PAIR_STRIDE,
  type PairCounter,
} from '../../src/semconv/pair-fields.ts';
import { type Counts, FakeKernel } from './fake-kernel.ts';

/** Sums of all rows, by slot. */
class Ledger {
  readonly totals = new Map<number, Float64Array>();
  readonly rows: { slot: number; generation: number; values: Float64Array }[] = [];

  readonly take = (rows: SweptRows): void => {
    for (let i = 0; i < rows.count; i++) {
      const slot = rows.slot[i]!;
      const values = rows.values.slice(i * PAIR_STRIDE, (i + 1) * PAIR_STRIDE);
      this.rows.push({ slot, generation: rows.generation[i]!, values });
      const sum = this.totals.get(slot) ?? new Float64Array(PAIR_STRIDE);
      values.forEach((value, column) => {
        sum[column]! += value;
      });
      this.totals.set(slot, sum);
    }
  };

  counter(slot: number, name: PairCounter): number {
    return this.totals.get(slot)?.[counterColumn(name)] ?? 0;
  }
}

async function swept(sweep: Sweep, ledger = new Ledger(), all = false): Promise<Ledger> {
  await sweep.run(ledger.take, all);
  return ledger;
}

test('a slot that nothing was counted in gives no row', async () => {
  const kernel = new FakeKernel();
  kernel.slotOf({});
  expect((await swept(createSweep(kernel))).rows).toEqual([]);
});

test('each field has its column', async () => {
  const kernel = new FakeKernel();
  const slot = kernel.slotOf({});
  const names = PAIR_COUNTERS.filter((name) => name !== 'active');
  kernel.count(slot, {
    counters: Object.fromEntries(names.map((name, i) => [name, BigInt(i + 1) * 2n ** 33n + 5n])),
    errors: Object.fromEntries(CONNECT_ERRORS.map((name, i) => [name, 100 + i])),
    observations: PAIR_HISTOGRAMS.flatMap(({ name }, h) =>
      Array.from({ length: 16 }, (_, bucket) => ({ histogram: name, bucket, ns: 2 ** 33 + h * 16 + bucket })),
    ),
  });
  const ledger = await swept(createSweep(kernel));
  expect(ledger.rows).toHaveLength(1);
  const values = ledger.rows[0]!.values;
  names.forEach((name, i) => {
    expect([name, values[counterColumn(name)]]).toEqual([name, (i + 1) * 2 ** 33 + 5]);
  });
  CONNECT_ERRORS.forEach((name, i) => {
    expect([name, values[errorColumn(name)]]).toEqual([name, 100 + i]);
  });
  PAIR_HISTOGRAMS.forEach(({ name }, h) => {
    const at = histogramColumn(name);
    expect([...values.slice(at, at + 16)]).toEqual(Array(16).fill(1));
    expect(values[at + 16]).toBe(16 * (2 ** 33 + h * 16) + 120);
  });
});

test('active is the change of the number of open connections', async () => {
  const kernel = new FakeKernel();
  const slot = kernel.slotOf({});
  const sweep = createSweep(kernel);
  kernel.count(slot, { counters: { opened: 5, failed: 1, adopted: 2 } });
  const ledger = await swept(sweep);
  expect(ledger.counter(slot, 'active')).toBe(6);
  expect(sweep.active(slot)).toBe(6);
  kernel.count(slot, { counters: { closed: 4 } });
  await swept(sweep, ledger);
  expect(ledger.rows[1]!.values[counterColumn('active')]).toBe(-4);
  expect(sweep.active(slot)).toBe(2);
});

test('what has not changed is read no further', async () => {
  const kernel = new FakeKernel();
  const slot = kernel.slotOf({});
  const sweep = createSweep(kernel);
  kernel.count(slot, { counters: { sent: 1 } });
  await swept(sweep);
  /* a counter without its `changes`: an update under way, or a processor that shows them in another order */
  kernel.countSilently(slot, { counters: { sent: 2 } });
  expect(sweep.changed(slot)).toBe(false);
  expect((await swept(sweep)).rows).toEqual([]);
  const ledger = await swept(sweep, new Ledger(), true);
  expect(ledger.counter(slot, 'sent')).toBe(2);
});

test('an update that was half done when it was read comes whole in the end', async () => {
  const kernel = new FakeKernel();
  const slot = kernel.slotOf({});
  const sweep = createSweep(kernel);
  kernel.count(slot, { counters: { opened: 1 } });
  kernel.countSilently(slot, { counters: { sent: 10 } });
  const ledger = await swept(sweep);
  kernel.countSilently(slot, { counters: { closed: 1 } });
  kernel.changed(slot);
  await swept(sweep, ledger);
  expect([ledger.counter(slot, 'sent'), ledger.counter(slot, 'closed'), ledger.counter(slot, 'active')]).toEqual([
    10, 1, 0,
  ]);
});

test('a counter that carries into its high word while it is read is never torn', async () => {
  const kernel = new FakeKernel();
  const slot = kernel.slotOf({});
  const { slot: layout } = kernel.layouts;
  const lowWord = (slot * layout.size + layout.offset('sent')) >>> 2;
  const memory = kernel.slots;
  let carries = 0;
  /* the kernel counts on between the two loads: behind the first load of the high word */
  const words = new Proxy(memory.words(slot), {
    get(target, key) {
      const value = Reflect.get(target, key, target);
      if (key === String(lowWord + 1) && carries === 0) {
        carries++;
        kernel.count(slot, { counters: { sent: 10 } });
      }
      return value;
    },
  });
  const slots: SlotMemory = { ...memory, words: () => words };
  const sweep = createSweep(Object.assign(Object.create(kernel) as FakeKernel, { slots }));
  kernel.count(slot, { counters: { sent: 2n ** 32n - 5n } });
  const ledger = await swept(sweep);
  expect(carries).toBe(1);
  expect(ledger.rows[0]!.values[counterColumn('sent')]).toBe(2 ** 32 + 5);
  await swept(sweep, ledger, true);
  expect(ledger.counter(slot, 'sent')).toBe(2 ** 32 + 5);
});

test('32-bit fields are followed through their wrap', async () => {
  const kernel = new FakeKernel();
  const slot = kernel.slotOf({});
  const sweep = createSweep(kernel);
  const ledger = new Ledger();
  const { slot: layout } = kernel.layouts;
  const bucket = layout.offset('buckets') + 4 * 3;
  const set = (value: number) => {
    kernel.bytes(slot).writeUInt32LE(value >>> 0, layout.offset('errors'));
    kernel.bytes(slot).writeUInt32LE(value >>> 0, bucket);
    kernel.changed(slot);
  };
  for (const value of [2 ** 32 - 2, 2 ** 32 + 3, 2 ** 32 + 4]) {
    set(value);
    await swept(sweep, ledger);
  }
  expect(ledger.totals.get(slot)![errorColumn('connection_refused')]).toBe(2 ** 32 + 4);
  expect(ledger.totals.get(slot)![histogramColumn('duration') + 3]).toBe(2 ** 32 + 4);
  for (const { values } of ledger.rows) expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
});

describe('which slots are read', () => {
  const BORDER = SLOTS_PER_CHUNK;

  test('both sides of a chunk border, the first and the last of both parts', async () => {
    const kernel = new FakeKernel({ slotCount: 2 * BORDER + 8 });
    const { coarseBase, slotCount } = kernel;
    const view = new DataView(kernel.state);
    const { state } = kernel.layouts;
    view.setUint32(state.offset('next_slot'), coarseBase, true);
    view.setUint32(state.offset('next_coarse'), slotCount, true);
    const numbers = [
      0,
      1,
      2,
      BORDER - 1,
      BORDER,
      coarseBase - 1,
      coarseBase,
      2 * BORDER - 1,
      2 * BORDER,
      slotCount - 1,
    ];
    numbers.forEach((slot, i) => {
      kernel.count(slot, { counters: { received: i + 1 } });
    });
    const ledger = await swept(createSweep(kernel));
    expect(ledger.rows.map(({ slot, values }) => [slot, values[counterColumn('received')]])).toEqual(
      numbers.map((slot, i) => [slot, i + 1]),
    );
  });

  test('a mark that ran past its end when CPUs met there', () => {
    const kernel = new FakeKernel();
    const view = new DataView(kernel.state);
    view.setUint32(kernel.layouts.state.offset('next_slot'), kernel.coarseBase + 3, true);
    view.setUint32(kernel.layouts.state.offset('next_coarse'), kernel.slotCount + 3, true);
    expect(createSweep(kernel).ranges()).toEqual([
      [0, kernel.coarseBase],
      [kernel.coarseBase, kernel.slotCount],
    ]);
  });

  test('no chunk is mapped before it is in use', async () => {
    const kernel = new FakeKernel({ slotCount: 4 * BORDER });
    kernel.count(kernel.slotOf({}), { counters: { opened: 1 } });
    await swept(createSweep(kernel));
    expect(kernel.chunks).toEqual([0]);
  });

  test('more rows than a batch holds, in batches that are handed on as they fill', async () => {
    const kernel = new FakeKernel({ slotCount: 8192 });
    const slots = Array.from({ length: 3000 }, (_, i) => kernel.slotOf({ servicePort: i }));
    for (const slot of slots) kernel.count(slot, { counters: { opened: slot } });
    const sizes: number[] = [];
    const ledger = new Ledger();
    await createSweep(kernel).run((rows) => {
      sizes.push(rows.count);
      ledger.take(rows);
    });
    expect(Math.max(...sizes)).toBe(1024);
    expect(sizes.reduce((sum, size) => sum + size)).toBe(3000);
    for (const slot of slots) expect(ledger.counter(slot, 'opened')).toBe(slot);
  });
});

describe('one slot', () => {
  test('is read at once', () => {
    const kernel = new FakeKernel();
    const slot = kernel.slotOf({});
    const sweep = createSweep(kernel);
    const ledger = new Ledger();
    expect(sweep.one(slot, ledger.take)).toBe(false);
    kernel.countSilently(slot, { counters: { lost: 3 } });
    expect(sweep.one(slot, ledger.take)).toBe(true);
    expect(ledger.counter(slot, 'lost')).toBe(3);
    expect(sweep.totals(slot)[counterColumn('lost')]).toBe(3);
  });

  test('that was told before gives only what is beyond, in every column', async () => {
    const kernel = new FakeKernel();
    const slot = kernel.slotOf({});
    const counts: Counts = {
      counters: { opened: 2n ** 40n + 1n, sent: 2n ** 52n + 1n },
      errors: { timed_out: 4 },
      observations: [{ histogram: 'min_rtt', bucket: 15, ns: 2 ** 41 }],
    };
    kernel.count(slot, counts);
    const before = createSweep(kernel);
    await swept(before);
    const after = createSweep(kernel);
    after.told(slot, before.totals(slot));
    kernel.count(slot, { counters: { sent: 7 }, errors: { timed_out: 1 } });
    const { rows } = await swept(after);
    expect(rows).toHaveLength(1);
    const { values } = rows[0]!;
    const news = [...values.entries()].filter(([, value]) => value !== 0);
    expect(news).toEqual([
      [counterColumn('sent'), 7],
      [errorColumn('timed_out'), 1],
    ]);
    expect(after.active(slot)).toBe(2 ** 40 + 1);
  });

  test('that was zeroed begins anew', async () => {
    const kernel = new FakeKernel();
    const slot = kernel.slotOf({});
    const sweep = createSweep(kernel);
    kernel.count(slot, { counters: { opened: 3, closed: 3 } });
    await swept(sweep);
    const zeroed = Buffer.alloc(kernel.layouts.slot.size);
    zeroed.writeUInt32LE(1, kernel.layouts.slot.offset('generation'));
    kernel.writeSlot(slot, zeroed);
    sweep.forget(slot);
    kernel.count(slot, { counters: { opened: 1 } });
    const { rows } = await swept(sweep);
    expect(rows.map(({ generation, values }) => [generation, values[counterColumn('opened')]])).toEqual([[1, 1]]);
    expect(sweep.active(slot)).toBe(1);
  });
});

test('whatever is written between which sweeps, the rows add up to the slots', async () => {
  const amount = fc.bigInt({ min: 0n, max: 2n ** 44n });
  const write = fc.record({
    slot: fc.nat(5),
    loud: fc.boolean(),
    counter: fc.constantFrom(...PAIR_COUNTERS.filter((name) => name !== 'active')),
    amount,
    error: fc.constantFrom(...CONNECT_ERRORS),
    errors: fc.nat(2 ** 24),
    bucket: fc.nat(15),
    histogram: fc.constantFrom(...PAIR_HISTOGRAMS.map(({ name }) => name)),
  });
  const step = fc.oneof(
    { weight: 3, arbitrary: write },
    { weight: 1, arbitrary: fc.constantFrom('sweep', 'all' as const) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const kernel = new FakeKernel();
      const slots = Array.from({ length: 6 }, (_, i) => kernel.slotOf({ servicePort: i }));
      const sweep = createSweep(kernel);
      /* the 32-bit fields begin just below their wrap */
      const nearly = Object.fromEntries(CONNECT_ERRORS.map((name) => [name, 2 ** 32 - 2 ** 25]));
      for (const slot of slots) kernel.count(slot, { errors: nearly });
      await swept(sweep);
      const ledger = new Ledger();
      const expected = slots.map(() => new Float64Array(PAIR_STRIDE));
      for (const item of steps) {
        if (typeof item === 'string') {
          await swept(sweep, ledger, item === 'all');
          continue;
        }
        const slot = slots[item.slot]!;
        const counts: Counts = {
          counters: { [item.counter]: item.amount },
          errors: { [item.error]: item.errors },
          observations: [{ histogram: item.histogram, bucket: item.bucket, ns: Number(item.amount) }],
        };
        if (item.loud) kernel.count(slot, counts);
        else kernel.countSilently(slot, counts);
        const sum = expected[item.slot]!;
        sum[counterColumn(item.counter)]! += Number(item.amount);
        sum[errorColumn(item.error)]! += item.errors;
        sum[histogramColumn(item.histogram) + item.bucket]! += 1;
        sum[histogramColumn(item.histogram) + 16]! += Number(item.amount);
      }
      await swept(sweep, ledger, true);
      slots.forEach((slot, i) => {
        const sum = expected[i]!;
        const of = (name: PairCounter) => sum[counterColumn(name)]!;
        sum[counterColumn('active')] = of('opened') + of('adopted') - of('failed') - of('closed');
        expect([...(ledger.totals.get(slot) ?? new Float64Array(PAIR_STRIDE))]).toEqual([...sum]);
      });
      for (const { values } of ledger.rows) {
        values.forEach((value, column) => {
          if (column !== counterColumn('active')) expect(value).toBeGreaterThanOrEqual(0);
        });
      }
    }),
    { numRuns: 200 },
  );
});
