/**
 * Slots that an earlier agent had in its hands when it was killed: out of the index or zeroed already, and not yet among
 * the spare ones. Nothing counts in them and nobody would give them back as long as the maps last (pin_path).
 *
 * A queue does not tell what it holds. But what is taken from its head and put to its end goes round: when a slot comes
 * by that was there before, all have been seen that were in it from the beginning. Programs take and give meanwhile, and
 * find one slot missing at most. One that a program has just taken is in neither place, too: so only what is missing
 * twice, unchanged, with a quarantine between, is lost.
 */
import { constants } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { accepted } from './accepted.ts';
import type { Kernel } from './kernel.ts';
import { FIRST_PAIR_SLOT } from './pairs.ts';
import type { Sweep } from './sweep.ts';

/** Slots looked at before the event loop gets its turn: each costs a system call or two. */
const SLICE = 256;

export interface LostSlots {
  /**
   * To be called now and then, while nobody gives slots back: the first time before anybody has taken one out of the
   * index. Resolves to what is lost, once, when the quarantine is over. Rejects with TCPL_E_KERNEL_FEATURE.
   */
  find(): Promise<number[]>;
}

/** `ranges`: of the slots that may be in use. */
export function createLostSlots(kernel: Kernel, ranges: Sweep['ranges'], quarantineNs: number): LostSlots {
  const { slots } = kernel;
  const { slot: layout, pair } = kernel.layouts;
  const pairAt = layout.offset('pair');
  const changesAt = layout.offset('changes');
  const createdAt = layout.offset('created_ns');
  const wordAt = (slot: number, offset: number) => slots.bytes(slot).readBigUInt64LE(slots.base(slot) + offset);
  const isIndexed = (slot: number) => {
    const at = slots.base(slot) + pairAt;
    return kernel.indexLookup(slots.bytes(slot).subarray(at, at + pair.size)) === slot;
  };
  /** The missing slots, each with what tells whether somebody has had it in the meantime. */
  let suspects: Map<number, string> | undefined;
  let sinceNs = 0;
  /** Only an agent that was killed leaves any. */
  let over = !kernel.resumed;

  /** Slots in use that are in neither place and have counted nothing. */
  const look = async (): Promise<Map<number, string>> => {
    const missing = new Map<number, string>();
    const inUse = ranges();
    const spare = [await spareSlots(kernel, false), await spareSlots(kernel, true)];
    for (const [first, end] of inUse) {
      for (let slot = Math.max(first, FIRST_PAIR_SLOT); slot < end; slot++) {
        if (slot % SLICE === 0) await nextTurn();
        if (wordAt(slot, changesAt) !== 0n || spare.some((known) => known.has(slot)) || isIndexed(slot)) continue;
        missing.set(slot, `${slots.generation(slot)} ${wordAt(slot, createdAt)}`);
      }
    }
    return missing;
  };

  return {
    async find() {
      if (over || (suspects && kernel.bootTimeNs() - sinceNs < quarantineNs)) return [];
      const missing = await look();
      if (!suspects) {
        suspects = missing;
        sinceNs = kernel.bootTimeNs();
        over = missing.size === 0;
        return [];
      }
      over = true;
      return [...suspects].filter(([slot, look]) => missing.get(slot) === look).map(([slot]) => slot);
    },
  };
}

/** What one of the two queues of spare slots holds. */
async function spareSlots(kernel: Kernel, coarse: boolean): Promise<Set<number>> {
  const seen = new Set<number>();
  for (;;) {
    const slot = kernel.popSpare(coarse);
    if (slot === -constants.errno.ENOENT) return seen;
    accepted(slot, 'see which slots are spare');
    const known = seen.has(slot);
    seen.add(slot);
    accepted(kernel.pushSpare(slot), `make slot ${slot} available again`);
    if (known) return seen;
    if (seen.size % SLICE === 0) await nextTurn();
  }
}
