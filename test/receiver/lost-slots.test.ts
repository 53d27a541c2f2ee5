/** Slots that an agent had in its hands when it was killed: the next one on the same maps gives them back. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createRecycler } from '../../src/receiver/recycler.ts';
import { createSweep, type SweptRows } from '../../src/receiver/sweep.ts';
import { FakeKernel, type PairKey } from './fake-kernel.ts';

const QUARANTINE_S = 60;
const WAITS = { idleNs: 100e9, quarantineNs: QUARANTINE_S * 1e9, pressedNs: 10e9 };
const COME_AND_GONE = { counters: { opened: 1, closed: 1 } };

/** An agent; `pass`: a sweep and a pass of its recycler, `seconds` after the last. */
function agent(kernel: FakeKernel) {
  const sweep = createSweep(kernel);
  const recycler = createRecycler(kernel, sweep, async () => {}, WAITS);
  const take = (rows: SweptRows) => {
    for (let i = 0; i < rows.count; i++) recycler.touched(rows.slot[i]!, kernel.nowNs);
  };
  return {
    recycler,
    async pass(seconds: number) {
      kernel.nowNs += seconds * 1e9;
      await sweep.run(take);
      await recycler.run(take);
    },
  };
}

/** The next one, by its first pass. */
async function nextAgent(kernel: FakeKernel) {
  kernel.killed = false;
  kernel.resumed = true;
  const next = agent(kernel);
  await next.pass(0);
  return next;
}

/** An agent recycles a slot and is killed between zeroing it and making it available. */
async function killedWithASlot(kernel: FakeKernel, key: PairKey = {}): Promise<number> {
  const slot = kernel.slotOf(key);
  kernel.count(slot, COME_AND_GONE);
  const it = agent(kernel);
  for (const seconds of [0, 100]) await it.pass(seconds);
  kernel.killed = true;
  await expect(it.pass(QUARANTINE_S)).rejects.toThrow('killed');
  return slot;
}

/** Takes a slot as a program does that has not come to publish it. */
const take = (kernel: FakeKernel): number => kernel.spare.shift()!;

describe('a slot is given back that an earlier agent', () => {
  test('had zeroed and not made available, after a quarantine', async () => {
    const kernel = new FakeKernel();
    const slot = await killedWithASlot(kernel);
    const next = await nextAgent(kernel);
    await next.pass(QUARANTINE_S - 1);
    expect(kernel.spare).toEqual([]);
    await next.pass(1);
    expect(kernel.spare).toEqual([slot]);
    expect(next.recycler.recycled).toBe(1);
    for (let i = 0; i < 3; i++) await next.pass(1000);
    expect(kernel.spare).toEqual([slot]);
  });

  test('had zeroed, among the coarse ones', async () => {
    const kernel = new FakeKernel({ slotCount: 16 });
    for (let i = 0; i < 12; i++) kernel.count(kernel.slotOf({ servicePort: i }), { counters: { opened: 1 } });
    const slot = await killedWithASlot(kernel, { servicePort: 99 });
    expect(slot).toBe(kernel.coarseBase);
    await (await nextAgent(kernel)).pass(QUARANTINE_S);
    expect(kernel.spareCoarse).toEqual([slot]);
  });

  test('had taken out of the index, if nothing was ever counted in it', async () => {
    const kernel = new FakeKernel();
    const slot = kernel.slotOf({});
    const first = agent(kernel);
    for (const seconds of [0, 100]) await first.pass(seconds);
    expect(kernel.index.size).toBe(0);
    await (await nextAgent(kernel)).pass(QUARANTINE_S);
    expect(kernel.spare).toEqual([slot]);
  });

  test('had taken from the spare ones to look at it', async () => {
    const kernel = new FakeKernel();
    const lost = await killedWithASlot(kernel);
    const spare = kernel.slotOf({ servicePort: 1 });
    kernel.index.clear();
    kernel.spare.push(spare);
    kernel.resumed = true;
    await expect(agent(kernel).pass(0)).rejects.toThrow('killed');
    expect(kernel.spare).toEqual([]);
    await (await nextAgent(kernel)).pass(QUARANTINE_S);
    expect(kernel.spare).toEqual([lost, spare]);
  });
});

describe('a slot is left alone', () => {
  test('that is spare, one that a program got from there, and one that it came with', async () => {
    const kernel = new FakeKernel();
    const slots = [0, 1, 2, 3].map((servicePort) => kernel.slotOf({ servicePort }));
    kernel.index.clear();
    kernel.spare.push(...slots);
    const next = await nextAgent(kernel);
    expect(kernel.spare.toSorted()).toEqual(slots);
    const used = kernel.slotOf({ servicePort: 80 });
    kernel.count(used, { counters: { opened: 1 } });
    await next.pass(QUARANTINE_S);
    await next.pass(1000);
    expect(kernel.calls).not.toContain(`write ${used}`);
    expect(kernel.spare.toSorted()).toEqual(slots.filter((slot) => slot !== used));
  });

  test('that a pair has, though nothing is counted in it', async () => {
    const kernel = new FakeKernel();
    const slot = kernel.slotOf({});
    const next = await nextAgent(kernel);
    await next.pass(QUARANTINE_S);
    expect(kernel.spare).toEqual([]);
    expect(kernel.slotOf({})).toBe(slot);
  });

  test('that a program was about to use', async () => {
    const kernel = new FakeKernel();
    kernel.spare.push(await killedWithASlot(kernel));
    const slot = take(kernel);
    const next = await nextAgent(kernel);
    kernel.spare.push(slot);
    expect(kernel.slotOf({ servicePort: 7 })).toBe(slot);
    await next.pass(QUARANTINE_S);
    expect(kernel.spare).toEqual([]);
    expect(kernel.slotOf({ servicePort: 7 })).toBe(slot);
  });

  test('that a program had taken for a pair, and gave back since another was first with it', async () => {
    const kernel = new FakeKernel();
    kernel.spare.push(await killedWithASlot(kernel));
    const slot = take(kernel);
    kernel.pairBytes({}).copy(kernel.bytes(slot), kernel.layouts.slot.offset('pair'));
    kernel.bytes(slot).writeBigUInt64LE(BigInt(kernel.nowNs), kernel.layouts.slot.offset('created_ns'));
    const next = await nextAgent(kernel);
    kernel.spare.push(slot);
    await next.pass(QUARANTINE_S);
    expect(kernel.spare).toEqual([slot]);
  });

  test('on maps of its own: no queue is touched', async () => {
    const kernel = new FakeKernel();
    kernel.onPopSpare = () => expect.unreachable();
    const it = agent(kernel);
    for (let i = 0; i < 3; i++) await it.pass(1000);
  });
});

test('a queue that cannot be read is not taken for an empty one', async () => {
  const kernel = new FakeKernel();
  const slot = await killedWithASlot(kernel);
  kernel.killed = false;
  kernel.resumed = true;
  const next = agent(kernel);
  kernel.refusal = -1;
  await expect(next.pass(0)).rejects.toThrow('cannot see which slots are spare: the kernel answers EPERM');
  kernel.refusal = 0;
  for (const seconds of [1, QUARANTINE_S]) await next.pass(seconds);
  expect(kernel.spare).toEqual([slot]);
});

test('whatever programs take and give while the spare ones go round, and whenever agents are killed, each slot is spare once in the end', async () => {
  const step = fc.record({
    seconds: fc.integer({ min: 0, max: 200 }),
    opens: fc.array(fc.nat(20), { maxLength: 8 }),
    /** How many calls of pushSpare the agent lives. */
    lives: fc.option(fc.nat(6)),
    /** What programs do at each look into a queue. */
    meanwhile: fc.constantFrom('nothing', 'take', 'give back'),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const kernel = new FakeKernel({ slotCount: 16 });
      const push = kernel.pushSpare.bind(kernel);
      let it = agent(kernel);
      let port = 1000;
      for (const { seconds, opens, lives, meanwhile } of steps) {
        for (const client of opens) kernel.count(kernel.slotOf({ remote: `10.2.0.${client}` }), COME_AND_GONE);
        kernel.onPopSpare = () => {
          if (meanwhile === 'take' && port % 3 === 0) kernel.count(kernel.slotOf({ servicePort: port }), COME_AND_GONE);
          const [first] = kernel.spare;
          if (meanwhile === 'give back' && first !== undefined) kernel.spare.push(take(kernel));
          port++;
        };
        let calls = 0;
        kernel.pushSpare = (slot) => {
          if (lives !== null && calls++ >= lives) throw new Error('killed');
          return push(slot);
        };
        try {
          await it.pass(seconds);
        } catch (error) {
          expect((error as Error).message).toBe('killed');
          kernel.resumed = true;
          it = agent(kernel);
        }
      }
      kernel.pushSpare = push;
      kernel.onPopSpare = () => {};
      for (let i = 0; i < 6; i++) await it.pass(1000);
      expect(kernel.index.size).toBe(0);
      const all = (first: number, end: number) => Array.from({ length: end - first }, (_, i) => first + i);
      const sorted = (queue: number[]) => queue.toSorted((a, b) => a - b);
      expect(sorted(kernel.spare)).toEqual(all(2, kernel.stateWord('next_slot')));
      expect(sorted(kernel.spareCoarse)).toEqual(all(kernel.coarseBase, kernel.stateWord('next_coarse')));
    }),
    { numRuns: 100 },
  );
});
