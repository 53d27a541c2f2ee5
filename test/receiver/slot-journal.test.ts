import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { type OpenedSlotJournal, openSlotJournal } from '../../src/receiver/slot-journal.ts';
import { PAIR_STRIDE } from '../../src/semconv/pair-fields.ts';
import { FakeJournal } from './fake-journal.ts';

const MAPS = 'boot/1';

let file: FakeJournal;
/** Generation of each slot in the maps. */
let generations: Map<number, number>;
let nowMs: number;

beforeEach(() => {
  file = new FakeJournal();
  generations = new Map();
  nowMs = Date.UTC(2026, 0);
});

const open = (mapsId = MAPS, compactAfter?: number): Promise<OpenedSlotJournal> =>
  openSlotJournal(file, mapsId, (slot) => generations.get(slot) ?? 0, {
    now: () => nowMs,
    ...(compactAfter !== undefined && { compactAfter }),
  });

/** Totals with these values in the first columns. */
function totals(...values: number[]): Float64Array {
  const all = new Float64Array(PAIR_STRIDE);
  all.set(values);
  return all;
}

const restoredOf = ({ restored }: OpenedSlotJournal) =>
  Object.fromEntries(restored.map(({ labels, values }) => [labels, [...values.slice(0, 2)]]));

test('what is remembered is recalled in its generation only, by this agent and the next', async () => {
  const { journal } = await open();
  expect(journal.recall(5, 0)).toBeUndefined();
  journal.remember(5, 0, 'a', String);
  expect(journal.recall(5, 0)).toBe('a');
  expect(journal.recall(5, 1)).toBeUndefined();
  await journal.flush();
  const next = await open();
  expect(next.journal.recall(5, 0)).toBe('a');
  expect(next.restored).toEqual([]);
});

test('what was not flushed is written at the close', async () => {
  const { journal } = await open();
  journal.remember(5, 0, 'a', String);
  await journal.close();
  expect(file.closed).toBe(true);
  expect((await open()).journal.recall(5, 0)).toBe('a');
});

test('a recycled slot is restored once by its labels, and its labels are gone', async () => {
  const { journal } = await open();
  journal.remember(5, 0, 'a', String);
  journal.remember(6, 0, 'a', String);
  journal.remember(7, 0, 'b', String);
  await journal.recycle([
    { slot: 5, generation: 0, totals: totals(1, 2 ** 50) },
    { slot: 6, generation: 0, totals: totals(2, 1) },
    { slot: 7, generation: 0, totals: totals(5) },
  ]);
  for (const slot of [5, 6, 7]) generations.set(slot, 1);
  for (let restart = 0; restart < 3; restart++) {
    const next = await open();
    expect(restoredOf(next)).toEqual({ a: [3, 2 ** 50 + 1], b: [5, 0] });
    expect(next.told).toEqual([]);
    expect(next.journal.recall(5, 0)).toBeUndefined();
    expect(next.journal.recall(5, 1)).toBeUndefined();
  }
});

test('a slot that was never named has no series to restore', async () => {
  const { journal } = await open();
  await journal.recycle([{ slot: 5, generation: 0, totals: totals(1) }]);
  generations.set(5, 1);
  expect((await open()).restored).toEqual([]);
});

describe('an agent that ends between writing a recycling and zeroing the slot', () => {
  beforeEach(async () => {
    const { journal } = await open();
    journal.remember(5, 0, 'a', String);
    await journal.recycle([{ slot: 5, generation: 0, totals: totals(3, 4) }]);
  });

  test('its totals are restored, and told as those that the slot still holds', async () => {
    const next = await open();
    expect(restoredOf(next)).toEqual({ a: [3, 4] });
    expect(next.told).toEqual([{ slot: 5, totals: totals(3, 4) }]);
    expect(next.journal.recall(5, 0)).toBe('a');
  });

  test('the slot is recycled later: the later totals count, not both', async () => {
    const next = await open();
    await next.journal.recycle([{ slot: 5, generation: 0, totals: totals(10, 11) }]);
    generations.set(5, 1);
    const last = await open();
    expect(restoredOf(last)).toEqual({ a: [10, 11] });
    expect(last.told).toEqual([]);
  });

  test('also when the journal was compacted in between', async () => {
    const next = await open(MAPS, 0);
    expect(file.rewrites).toBe(2);
    await next.journal.recycle([{ slot: 5, generation: 0, totals: totals(10, 11) }]);
    generations.set(5, 1);
    expect(restoredOf(await open(MAPS, 0))).toEqual({ a: [10, 11] });
  });
});

test('a slot that moved while its recycling was written is recycled again under its labels', async () => {
  const { journal } = await open();
  journal.remember(5, 0, 'a', String);
  await journal.recycle([{ slot: 5, generation: 0, totals: totals(1) }]);
  expect(journal.recall(5, 0)).toBe('a');
  await journal.recycle([{ slot: 5, generation: 0, totals: totals(2) }]);
  generations.set(5, 1);
  expect(restoredOf(await open())).toEqual({ a: [2, 0] });
});

describe('another set of maps', () => {
  beforeEach(async () => {
    const { journal } = await open();
    journal.remember(5, 0, 'a', String);
    journal.remember(6, 0, 'b', String);
    await journal.recycle([{ slot: 6, generation: 0, totals: totals(1) }]);
  });

  test('starts with nothing', async () => {
    const next = await open('boot/2');
    expect(next.restored).toEqual([]);
    expect(next.told).toEqual([]);
    expect(next.journal.recall(5, 0)).toBeUndefined();
  });

  test('and what was written for the former one does not come back', async () => {
    await open('boot/2');
    expect((await open(MAPS)).restored).toEqual([]);
  });

  test('what is written for it counts', async () => {
    const { journal } = await open('boot/2');
    journal.remember(5, 0, 'c', String);
    await journal.flush();
    expect((await open('boot/2')).journal.recall(5, 0)).toBe('c');
  });
});

describe('a journal that refuses', () => {
  test('keeps the labels for the next time, but no recycling: those slots stay and are told again', async () => {
    const { journal } = await open();
    journal.remember(5, 0, 'a', String);
    file.refuses = true;
    for (let i = 0; i < 3; i++) {
      await expect(journal.recycle([{ slot: 5, generation: 0, totals: totals(1) }])).rejects.toThrow('full');
    }
    await expect(journal.flush()).rejects.toThrow('full');
    expect(journal.recall(5, 0)).toBe('a');
    file.refuses = false;
    journal.remember(6, 0, 'b', String);
    await journal.flush();
    const next = await open();
    expect([next.journal.recall(5, 0), next.journal.recall(6, 0)]).toEqual(['a', 'b']);
    expect(next.restored).toEqual([]);
    expect(file.records).toHaveLength(3);
  });

  test('is closed all the same', async () => {
    const { journal } = await open();
    journal.remember(5, 0, 'a', String);
    file.refuses = true;
    await expect(journal.close()).rejects.toThrow('full');
    expect(file.closed).toBe(true);
  });

  test('does not let another set of maps begin', async () => {
    file.refuses = true;
    await expect(open()).rejects.toThrow(expect.objectContaining({ code: 'TCPL_E_STORAGE' }));
  });
});

test('what is remembered while a write is under way is written by the next, once', async () => {
  const { journal } = await open();
  journal.remember(5, 0, 'a', String);
  file.onAppend = () => {
    file.onAppend = () => {};
    journal.remember(6, 0, 'b', String);
  };
  await journal.flush();
  await journal.flush();
  await journal.flush();
  expect(file.records.map((record) => JSON.parse(record.toString()).slot)).toEqual([undefined, 5, 6]);
});

test('it stays short however long the agent runs', async () => {
  const { journal } = await open(MAPS, 100);
  for (let generation = 0; generation < 2000; generation++) {
    generations.set(5, generation);
    journal.remember(5, generation, `labels ${generation % 3}`, String);
    await journal.recycle([{ slot: 5, generation, totals: totals(1, generation) }]);
    generations.set(5, generation + 1);
    await journal.flush();
    expect(file.records.length).toBeLessThan(120);
  }
  const sum = (rest: number) =>
    Array.from({ length: 2000 }, (_, i) => i)
      .filter((i) => i % 3 === rest)
      .reduce((a, b) => a + b, 0);
  expect(restoredOf(await open(MAPS, 100))).toEqual({
    'labels 0': [667, sum(0)],
    'labels 1': [667, sum(1)],
    'labels 2': [666, sum(2)],
  });
});

test('it stays short however many workloads come and go, and what the gone ones had counted stays in the sum', async () => {
  const { journal } = await open(MAPS, 100);
  for (let generation = 0; generation < 5000; generation++) {
    nowMs += 60_000;
    generations.set(5, generation);
    journal.remember(5, generation, `pod ${generation}`, String);
    await journal.recycle([{ slot: 5, generation, totals: totals(1, 2) }]);
    generations.set(5, generation + 1);
    await journal.flush();
    expect(file.records.length).toBeLessThan(300);
  }
  const restored = restoredOf(await open(MAPS, 100));
  expect(restored['pod 4999']).toEqual([1, 2]);
  const remembered = Object.keys(restored).length - 1;
  expect(remembered).toBe(60);
  expect(restored.undefined).toEqual([5000 - remembered, 2 * (5000 - remembered)]);
});

test('labels that some slot still has are not forgotten, however long ago others of theirs were recycled', async () => {
  const { journal } = await open();
  for (const [slot, labels] of [
    [5, 'a'],
    [6, 'b'],
    [7, 'a'],
  ] as const)
    journal.remember(slot, 0, labels, String);
  await journal.recycle([
    { slot: 5, generation: 0, totals: totals(1) },
    { slot: 6, generation: 0, totals: totals(2) },
  ]);
  for (const slot of [5, 6]) generations.set(slot, 1);
  await journal.flush();
  expect(restoredOf(await open())).toEqual({ a: [1, 0], b: [2, 0] });
  nowMs += 2 * 3_600_000;
  for (let restart = 0; restart < 2; restart++)
    expect(restoredOf(await open(MAPS, 0))).toEqual({ a: [1, 0], undefined: [2, 0] });
});

test('however often agents are killed and journals compacted, nothing is restored twice or lost', async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('count' as const), slot: fc.nat(3), value: fc.nat(1000) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('recycle' as const), slot: fc.nat(3) }) },
    /* written, and then the slot moves on: it is not zeroed */
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('write' as const), slot: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('kill' as const), compactAfter: fc.nat(20) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
      file = new FakeJournal();
      generations = new Map();
      /** What each slot holds now, and what was counted in all. */
      const holds = [0, 0, 0, 0];
      let counted = 0;
      let agent = await open(MAPS, 10);
      const recycle = async (slot: number) => {
        const generation = generations.get(slot) ?? 0;
        agent.journal.remember(slot, generation, `slot ${slot}`, String);
        await agent.journal.recycle([{ slot, generation, totals: totals(holds[slot]!) }]);
      };
      for (const item of steps) {
        if (item.kind === 'count') {
          holds[item.slot]! += item.value;
          counted += item.value;
        } else if (item.kind === 'flush') await agent.journal.flush();
        else if (item.kind === 'kill') agent = await open(MAPS, item.compactAfter);
        else await recycle(item.slot);
        if (item.kind === 'recycle') {
          generations.set(item.slot, (generations.get(item.slot) ?? 0) + 1);
          holds[item.slot] = 0;
        }
      }
      const { restored, told } = await open(MAPS, 10);
      const first = (values: Float64Array) => values[0]!;
      const before = restored.reduce((sum, { values }) => sum + first(values), 0);
      const unseen = holds.reduce((sum, value) => sum + value, 0) - told.reduce((sum, t) => sum + first(t.totals), 0);
      expect(before + unseen).toBe(counted);
    }),
    { numRuns: 300 },
  );
});
