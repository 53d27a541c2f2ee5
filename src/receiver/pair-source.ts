/** What the receiver answers about its slots (types.ts): the way back from identity to the kernel. */
import { readFileSync } from 'node:fs';
import type { Kernel } from './kernel.ts';
import { createPairReader, FIRST_PAIR_SLOT } from './pairs.ts';
import type { Recycler } from './recycler.ts';
import type { SlotJournal } from './slot-journal.ts';
import type { PairSource } from './types.ts';
import type { WallClock } from './wall-clock.ts';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

export function createPairSource(
  kernel: Kernel,
  recycler: Recycler,
  journal: SlotJournal | undefined,
  clock: WallClock,
): PairSource {
  const { slots, layouts } = kernel;
  const pairOf = createPairReader(slots, layouts.slot, layouts.pair);
  const isCurrent = (slot: number, generation: number) => slots.generation(slot) === generation;
  return {
    pair: (slot, generation) => (isCurrent(slot, generation) ? pairOf(slot) : undefined),
    renew(slot, generation) {
      if (slot >= FIRST_PAIR_SLOT && isCurrent(slot, generation)) recycler.retire(slot, kernel.bootTimeNs());
    },
    remember(slot, generation, labels, textOf) {
      // A pair may have waited for its labels for longer than it kept the slot: then they are another pair's to tell.
      if (journal && isCurrent(slot, generation)) journal.remember(slot, generation, labels, textOf);
    },
    recall: (slot, generation) => journal?.recall(slot, generation),
    wallClock: (bootNs) => clock.at(bootNs),
    bootId: readFileSync(BOOT_ID, 'latin1').trim().replaceAll('-', ''),
  };
}
