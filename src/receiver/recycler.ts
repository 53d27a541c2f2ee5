/**
 * Gives idle slots back. A slot with no open connection and idle for two minutes leaves `index`; it stays read for a
 * quarantine, since a program that had looked it up just before may still add to it; only when nothing moved meanwhile
 * is it zeroed, its generation raised, its number pushed to `spare`. What it counted lives on in its series.
 *
 * When more than three quarters of the slots are in use both waits are short.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { accepted } from './accepted.ts';
import type { Kernel } from './kernel.ts';
import { createLostSlots } from './lost-slots.ts';
import { FIRST_PAIR_SLOT } from './pairs.ts';
import { SLOTS_PER_CHUNK } from './slot-memory.ts';
import type { Sweep, SweptRows } from './sweep.ts';

const IDLE_NS = 120e9;
const QUARANTINE_NS = 60e9;
const PRESSED_NS = 10e9;
const PRESSURE = 0.75;
/** Slots taken out or given back before the event loop gets its turn: each costs a few system calls. */
const SLICE = 256;

export interface RecyclerOptions {
  readonly idleNs: number;
  readonly quarantineNs: number;
  readonly pressedNs: number;
}

/** How long to wait; tests shorten it. */
export const RECYCLER_DEFAULTS: RecyclerOptions = {
  idleNs: IDLE_NS,
  quarantineNs: QUARANTINE_NS,
  pressedNs: PRESSED_NS,
};

export interface Recycler {
  /** A sweep read a change of this slot. */
  touched(slot: number, nowNs: number): void;
  /** Deletes the pair's key: connections that are open keep the slot, new ones get a fresh one. */
  retire(slot: number, nowNs: number): void;
  /**
   * One pass over all slots in use. `take` gets what a last look still finds. Rejects with what `beforeRecycle` rejects
   * with, or when the kernel refuses to give a slot back: the next pass tries again.
   */
  run(take: (rows: SweptRows) => void): Promise<void>;
  readonly recycled: number;
  /** Slots in use or in quarantine. */
  readonly inUse: number;
}

/** What to do before a slot is zeroed: `totals` are the last of this generation. Rejects to keep the slot for another pass. */
export type BeforeRecycle = (
  slots: readonly { slot: number; generation: number; totals: Float64Array }[],
) => Promise<void>;

export function createRecycler(
  kernel: Kernel,
  sweep: Sweep,
  beforeRecycle: BeforeRecycle,
  options: RecyclerOptions = RECYCLER_DEFAULTS,
): Recycler {
  const { slot: layout, pair } = kernel.layouts;
  const { slots } = kernel;
  const pairAt = layout.offset('pair');
  const generationAt = layout.offset('generation');
  const createdAt = layout.offset('created_ns');
  const touchedNs = new Float64Array(kernel.slotCount);
  /** When the slot left the index; 0: it is in it, or free. */
  const retiredNs = new Float64Array(kernel.slotCount);
  const capacity = kernel.slotCount;
  const lost = createLostSlots(kernel, sweep.ranges, options.quarantineNs);
  let recycled = 0;
  let inUse = 0;

  const keyOf = (slot: number) => {
    const at = slots.base(slot) + pairAt;
    return slots.bytes(slot).subarray(at, at + pair.size);
  };
  const retire = (slot: number, nowNs: number) => {
    if (retiredNs[slot] !== 0) return;
    /* the key may be another slot's: two CPUs met at the same new pair, or it was retired and seen again */
    if (kernel.indexLookup(keyOf(slot)) === slot) kernel.indexDelete(keyOf(slot));
    retiredNs[slot] = nowNs;
  };
  /**
   * Takes charge of a slot that a pair was given and that nothing was ever counted in, since conns had no room for the connection. Slots
   * that wait in `spare` hold a former pair too, but the index has another slot for it, or none.
   */
  const claimOrphan = (slot: number, beforeNs: number): boolean => {
    const createdNs = Number(slots.bytes(slot).readBigUInt64LE(slots.base(slot) + createdAt));
    if (createdNs === 0 || createdNs > beforeNs || kernel.indexLookup(keyOf(slot)) !== slot) return false;
    touchedNs[slot] = createdNs;
    return true;
  };
  const due = (slot: number, nowNs: number, idleNs: number, quarantineNs: number) => {
    const retired = retiredNs[slot]!;
    const quietNs = nowNs - Math.max(retired, touchedNs[slot]!);
    if (quietNs < (retired === 0 ? idleNs : quarantineNs) || sweep.active(slot) !== 0) return 'nothing';
    return retired === 0 ? 'retirement' : 'release';
  };
  /* an agent killed between the two calls leaves a slot that the next one finds: lost-slots.ts */
  const release = (slot: number, generation: number) => {
    const zeroed = Buffer.alloc(layout.size);
    zeroed.writeUInt32LE((generation + 1) >>> 0, generationAt);
    accepted(kernel.writeSlot(slot, zeroed), `zero slot ${slot}`);
    sweep.forget(slot);
    touchedNs[slot] = 0;
    retiredNs[slot] = 0;
    accepted(kernel.pushSpare(slot), `make slot ${slot} available again`);
    recycled++;
  };

  return {
    get recycled() {
      return recycled;
    },
    get inUse() {
      return inUse;
    },
    touched(slot, nowNs) {
      touchedNs[slot] = nowNs;
    },
    retire,
    async run(take) {
      for (const slot of await lost.find()) release(slot, slots.generation(slot));
      let nowNs = kernel.bootTimeNs();
      const pressed = inUse > capacity * PRESSURE;
      const idleNs = pressed ? Math.min(options.pressedNs, options.idleNs) : options.idleNs;
      const quarantineNs = pressed ? Math.min(options.pressedNs, options.quarantineNs) : options.quarantineNs;
      let used = 0;
      let worked = 0;
      let ready: { slot: number; generation: number; totals: Float64Array }[] = [];
      const finish = async () => {
        if (ready.length === 0) return;
        const batch = ready;
        ready = [];
        await beforeRecycle(batch);
        /* the journal took its time: whatever moved meanwhile stays */
        for (const { slot, generation } of batch) if (!sweep.changed(slot)) release(slot, generation);
      };
      for (const [first, end] of sweep.ranges()) {
        for (let slot = Math.max(first, FIRST_PAIR_SLOT); slot < end; slot++) {
          if (slot % SLOTS_PER_CHUNK === 0) await nextTurn();
          if (touchedNs[slot] === 0 && !claimOrphan(slot, nowNs - idleNs)) continue;
          used++;
          const what = due(slot, nowNs, idleNs, quarantineNs);
          if (what === 'nothing') continue;
          if (what === 'retirement') retire(slot, nowNs);
          else if (sweep.one(slot, take)) touchedNs[slot] = nowNs;
          else ready.push({ slot, generation: slots.generation(slot), totals: sweep.totals(slot) });
          if (++worked % SLICE === 0) {
            await finish();
            await nextTurn();
            nowNs = kernel.bootTimeNs();
          }
        }
      }
      await finish();
      inUse = used;
    },
  };
}
