/**
 * A sweep of 32,768 mapped slots, none changed and all changed.
 *
 * Method: the kernel half is loaded and its slots are filled through the map; "all changed" raises every slot's change
 * count and some counters between sweeps, as a busy node does. The two kinds in turns, 15 rounds, medians.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createSweep } from '../src/receiver/sweep.ts';
import { openKernelHalf } from './support/bpf.ts';
import { median, tell } from './support/figures.ts';

const SLOTS = 32_768;
const ROUNDS = 15;

async function main(): Promise<void> {
  const kernel = await openKernelHalf();
  const { slot, state } = kernel.layouts;
  const marks = new DataView(kernel.state);
  marks.setUint32(state.offset('next_slot'), kernel.coarseBase, true);
  marks.setUint32(state.offset('next_coarse'), kernel.slotCount, true);
  const sweep = createSweep(kernel);
  const value = Buffer.alloc(slot.size);
  let rows = 0;
  const run = async () => {
    const start = performance.now();
    await sweep.run((batch) => {
      rows += batch.count;
    });
    return performance.now() - start;
  };
  const touchAll = (round: number) => {
    value.writeBigUInt64LE(BigInt(round), slot.offset('changes'));
    for (const name of ['opened', 'closed', 'sent', 'received', 'segments_sent', 'segments_received']) {
      value.writeBigUInt64LE(BigInt(round * 1000), slot.offset(name));
    }
    for (let i = 0; i < 3; i++) value.writeUInt32LE(round, slot.offset('buckets') + 64 * i);
    for (let number = 0; number < SLOTS; number++) kernel.writeSlot(number, value);
  };
  const none: number[] = [];
  const all: number[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    touchAll(round);
    await sleep(20);
    const before = rows;
    all.push(await run());
    if (rows - before !== SLOTS) throw new Error(`the sweep read ${rows - before} slots, not ${SLOTS}`);
    none.push(await run());
  }
  await kernel.close();
  tell([
    { name: `sweep of ${SLOTS} slots, none changed`, measured: median(none), unit: 'ms', atMost: 1 },
    { name: `sweep of ${SLOTS} slots, all changed`, measured: median(all), unit: 'ms', atMost: 25 },
  ]);
}

main()
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => process.exit());
