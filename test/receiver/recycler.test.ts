import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BeforeRecycle, createRecycler, type Recycler } from '../../src/receiver/recycler.ts';
import { createSweep, type Sweep, type SweptRows } from '../../src/receiver/sweep.ts';
import { counterColumn, PAIR_STRIDE } from '../../src/semconv/pair-fields.ts';
import { FakeKernel, type FakeKernelOptions } from './fake-kernel.ts';

const WAITS = { idleNs: 100e9, quarantineNs: 60e9, pressedNs: 10e9 };
const OPENED = counterColumn('opened');

type Passed = Parameters<BeforeRecycle>[0][number];

interface Rig {
  readonly kernel: FakeKernel;
  readonly sweep: Sweep;
  readonly recycler: Recycler;
  /** What was given back, with its last totals. */
  readonly passed: Passed[];
  /** Sum of `opened` of all rows that were handed on. */
  counted: number;
  beforeRecycle: BeforeRecycle;
  /** Sweeps, then a pass of the recycler, `seconds` after the last. */
  pass(seconds: number): Promise<void>;
}

function rig(options?: FakeKernelOptions, kernel = new FakeKernel(options)): Rig {
  const sweep = createSweep(kernel);
  const passed: Passed[] = [];
  const recycler = createRecycler(
    kernel,
    sweep,
    async (slots) => {
      await it.beforeRecycle(slots);
      passed.push(...slots);
    },
    WAITS,
  );
  const take = (rows: SweptRows) => {
    for (let i = 0; i < rows.count; i++) {
      recycler.touched(rows.slot[i]!, kernel.nowNs);
      it.counted += rows.values[i * PAIR_STRIDE + OPENED]!;
    }
  };
  const it: Rig = {
    kernel,
    sweep,
    recycler,
    passed,
    counted: 0,
    beforeRecycle: async () => {},
    async pass(seconds) {
      kernel.nowNs += seconds * 1e9;
      await sweep.run(take);
      await recycler.run(take);
    },
  };
  return it;
}

/** A connection that came and went. */
const COME_AND_GONE = { counters: { opened: 1, closed: 1 } };

test('an idle slot leaves the index, waits, and only then comes back zeroed in a new generation', async () => {
  const it = rig();
  const { kernel, recycler } = it;
  const slot = kernel.slotOf({});
  kernel.count(slot, COME_AND_GONE);
  await it.pass(0);
  expect(recycler.inUse).toBe(1);
  await it.pass(99);
  expect(kernel.index.size).toBe(1);
  await it.pass(1);
  expect(kernel.index.size).toBe(0);
  expect(kernel.u64(slot, 'opened')).toBe(1n);
  await it.pass(59);
  expect(kernel.calls).toEqual([]);
  expect(recycler.inUse).toBe(1);
  await it.pass(1);
  expect(kernel.calls).toEqual([`write ${slot}`, `spare ${slot}`]);
  expect(kernel.u64(slot, 'opened')).toBe(0n);
  expect(kernel.generation(slot)).toBe(1);
  expect(recycler.recycled).toBe(1);
  expect(it.passed.map((gone) => [gone.slot, gone.generation, gone.totals[OPENED]])).toEqual([[slot, 0, 1]]);
  await it.pass(1000);
  expect(recycler.inUse).toBe(0);
  expect(kernel.slotOf({ remote: '10.7.7.7' })).toBe(slot);
});

test('a slot with an open connection stays, however idle', async () => {
  const it = rig();
  const slot = it.kernel.slotOf({});
  it.kernel.count(slot, { counters: { opened: 2, closed: 1 } });
  for (let i = 0; i < 5; i++) await it.pass(1000);
  expect(it.kernel.index.size).toBe(1);
  it.kernel.count(slot, { counters: { closed: 1 } });
  for (let i = 0; i < 3; i++) await it.pass(1000);
  expect(it.recycler.recycled).toBe(1);
});

test('a slot that moved in quarantine waits anew, and its movement is handed on', async () => {
  const it = rig();
  const slot = it.kernel.slotOf({});
  it.kernel.count(slot, COME_AND_GONE);
  await it.pass(0);
  await it.pass(100);
  /* a program that had looked the slot up before its key was deleted, and whose `changes` is not seen yet */
  it.kernel.countSilently(slot, COME_AND_GONE);
  await it.pass(60);
  expect(it.kernel.calls).toEqual([]);
  expect(it.counted).toBe(2);
  await it.pass(59);
  expect(it.kernel.calls).toEqual([]);
  await it.pass(1);
  expect(it.passed[0]!.totals[OPENED]).toBe(2);
  expect(it.recycler.recycled).toBe(1);
});

test('a slot that moved while the journal was written stays for another pass', async () => {
  const it = rig();
  const slot = it.kernel.slotOf({});
  it.kernel.count(slot, COME_AND_GONE);
  it.beforeRecycle = async () => {
    it.kernel.count(slot, COME_AND_GONE);
    it.beforeRecycle = async () => {};
  };
  await it.pass(0);
  await it.pass(100);
  await it.pass(60);
  expect(it.kernel.calls).toEqual([]);
  await it.pass(60);
  expect(it.counted).toBe(2);
  await it.pass(60);
  expect(it.passed.map(({ totals }) => totals[OPENED])).toEqual([1, 2]);
  expect(it.kernel.generation(slot)).toBe(1);
});

test('the key of a pair that another slot has by now is left alone', async () => {
  const it = rig();
  const { kernel, recycler } = it;
  const slot = kernel.slotOf({});
  kernel.count(slot, { counters: { opened: 1 } });
  await it.pass(0);
  recycler.retire(slot, kernel.nowNs);
  expect(kernel.index.size).toBe(0);
  const fresh = kernel.slotOf({});
  expect(fresh).not.toBe(slot);
  kernel.count(fresh, { counters: { opened: 1 } });
  kernel.count(slot, { counters: { closed: 1 } });
  await it.pass(0);
  await it.pass(100);
  await it.pass(60);
  expect(kernel.calls).toEqual([`write ${slot}`, `spare ${slot}`]);
  expect(kernel.slotOf({})).toBe(fresh);
});

test('also by an agent that does not know which slots were retired before it came', async () => {
  const first = rig();
  const { kernel } = first;
  const slot = kernel.slotOf({});
  kernel.count(slot, COME_AND_GONE);
  await first.pass(0);
  first.recycler.retire(slot, kernel.nowNs);
  const fresh = kernel.slotOf({});
  kernel.count(fresh, { counters: { opened: 1 } });
  const second = rig({}, kernel);
  await second.pass(0);
  await second.pass(100);
  await second.pass(60);
  expect(kernel.calls).toEqual([`write ${slot}`, `spare ${slot}`]);
  expect(kernel.slotOf({})).toBe(fresh);
});

test('under pressure both waits are short', async () => {
  const it = rig({ slotCount: 16 });
  const { kernel } = it;
  const slots = Array.from({ length: 13 }, (_, i) => kernel.slotOf({ remote: `10.1.0.${i}` }));
  for (const slot of slots) kernel.count(slot, COME_AND_GONE);
  await it.pass(0);
  expect(it.recycler.inUse).toBe(13);
  await it.pass(10);
  expect(kernel.index.size).toBe(0);
  await it.pass(10);
  expect(it.recycler.recycled).toBe(13);
  /* the coarse slot goes back to the coarse ones */
  expect(kernel.spare).toEqual(slots.slice(0, 12));
  expect(kernel.spareCoarse).toEqual([kernel.coarseBase]);
});

test('the unattributed slots are never recycled', async () => {
  const it = rig();
  for (const slot of [0, 1]) it.kernel.count(slot, COME_AND_GONE);
  for (let i = 0; i < 4; i++) await it.pass(1000);
  expect(it.kernel.calls).toEqual([]);
  expect(it.counted).toBe(2);
});

describe('a slot that was given to a pair and never counted', () => {
  test('comes back: its connection found no room among the tracked ones', async () => {
    const it = rig();
    const slot = it.kernel.slotOf({});
    await it.pass(99);
    expect(it.kernel.index.size).toBe(1);
    await it.pass(1);
    expect(it.kernel.index.size).toBe(0);
    expect(it.recycler.inUse).toBe(1);
    await it.pass(60);
    expect(it.kernel.calls).toEqual([`write ${slot}`, `spare ${slot}`]);
  });

  test('but not when it waits to be used already, with the pair that it lost to another slot', async () => {
    const it = rig();
    const { kernel } = it;
    const winner = kernel.slotOf({});
    kernel.count(winner, { counters: { opened: 1 } });
    /* two CPUs met at the same new pair: the loser's slot has it too, and went back */
    const loser = kernel.slotOf({ remote: '10.3.3.3' });
    kernel.index.delete(kernel.pairBytes({ remote: '10.3.3.3' }).toString('hex'));
    kernel.pairBytes({}).copy(kernel.bytes(loser), kernel.layouts.slot.offset('pair'));
    kernel.spare.push(loser);
    for (let i = 0; i < 4; i++) await it.pass(1000);
    expect(kernel.calls).toEqual([]);
    expect(kernel.slotOf({})).toBe(winner);
    expect(it.recycler.inUse).toBe(1);
  });
});

test('a journal that cannot be written keeps the slots', async () => {
  const it = rig();
  const slots = [1, 2, 3].map((servicePort) => it.kernel.slotOf({ servicePort }));
  for (const slot of slots) it.kernel.count(slot, COME_AND_GONE);
  it.beforeRecycle = async () => {
    throw new Error('disk full');
  };
  await it.pass(0);
  await it.pass(100);
  await expect(it.pass(60)).rejects.toThrow('disk full');
  expect(it.kernel.calls).toEqual([]);
  it.beforeRecycle = async () => {};
  await it.pass(1);
  expect(it.recycler.recycled).toBe(3);
  expect(it.passed.map(({ slot }) => slot)).toEqual(slots);
});

test('a kernel that refuses is told of, and asked again', async () => {
  const it = rig();
  it.kernel.count(it.kernel.slotOf({}), COME_AND_GONE);
  await it.pass(0);
  await it.pass(100);
  it.kernel.refusal = -1;
  await expect(it.pass(60)).rejects.toThrow(
    expect.objectContaining({ message: expect.stringMatching(/zero slot 2.*EPERM/) }),
  );
  it.kernel.refusal = 0;
  await it.pass(1);
  expect(it.recycler.recycled).toBe(1);
});

test('more slots than one slice, over several turns of the event loop', async () => {
  const it = rig({ slotCount: 2048 });
  for (let i = 0; i < 1000; i++) it.kernel.count(it.kernel.slotOf({ servicePort: i }), COME_AND_GONE);
  await it.pass(0);
  await it.pass(100);
  await it.pass(60);
  expect(it.recycler.recycled).toBe(1000);
  expect(new Set(it.kernel.spare).size).toBe(1000);
});

test('over a long run with recycling all that was counted was handed on, and no slot is given out twice', async () => {
  const step = fc.record({
    seconds: fc.integer({ min: 0, max: 120 }),
    opens: fc.array(fc.nat(30), { maxLength: 12 }),
    closes: fc.array(fc.nat(200), { maxLength: 12 }),
    renew: fc.option(fc.nat(30)),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
      const it = rig({ slotCount: 16 });
      const { kernel } = it;
      const open: number[] = [];
      let opened = 0;
      for (const { seconds, opens, closes, renew } of steps) {
        for (const client of opens) {
          const slot = kernel.slotOf({ remote: `10.2.0.${client}` });
          /* the pair that a slot holds is the one it was asked for, but for the overflow */
          if (slot >= 2 && slot < kernel.coarseBase) {
            const { slot: layout, pair } = kernel.layouts;
            const remote = layout.offset('pair') + pair.offset('remote_ip') + 15;
            expect(kernel.bytes(slot)[remote]).toBe(client);
          }
          kernel.count(slot, { counters: { opened: 1 } });
          open.push(slot);
          opened++;
        }
        for (const index of closes) {
          const [slot] = open.splice(index, 1);
          if (slot !== undefined) kernel.count(slot, { counters: { closed: 1 } });
        }
        if (renew !== null) {
          const slot = kernel.indexLookup(kernel.pairBytes({ remote: `10.2.0.${renew}` }));
          if (slot !== undefined) it.recycler.retire(slot, kernel.nowNs);
        }
        await it.pass(seconds);
      }
      expect(it.counted).toBe(opened);
      for (const slot of open.splice(0)) kernel.count(slot, { counters: { closed: 1 } });
      for (let i = 0; i < 4; i++) await it.pass(1000);
      /* all that was ever in use is spare again, once */
      expect(kernel.index.size).toBe(0);
      expect(it.recycler.inUse).toBe(0);
      expect(kernel.spare.length).toBe(kernel.stateWord('next_slot') - 2);
      expect(kernel.spareCoarse.length).toBe(kernel.stateWord('next_coarse') - kernel.coarseBase);
      expect(it.counted).toBe(opened);
    }),
    { numRuns: 200 },
  );
});
