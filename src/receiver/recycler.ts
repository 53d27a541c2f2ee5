/**
 * Gives idle slots back. A slot with no open connection and idle for two minutes leaves `index`; it stays read for a
 * quarantine, since a program that had looked it up just before may still add to it; only when nothing moved meanwhile
 * is it zeroed, its generation raised, its number pushed to `spare`. What it counted lives on in its series.
 *
 * When more than three quarters of the slots are in use both waits are short.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Kernel } from './kernel.ts';
import { FIRST_PAIR_SLOT } from './pairs.ts';
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
  /** One pass over all slots in use. `take` gets what a last look still finds. */
  run(nowNs: number, take: (rows: SweptRows) => void): Promise<void>;
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
  const touchedNs = new Float64Array(kernel.slotCount);
  /** When the slot left the index; 0: it is in it, or free. */
  const retiredNs = new Float64Array(kernel.slotCount);
  const capacity = kernel.slotCount;
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
  const release = (slot: number, generation: number) => {
    const zeroed = Buffer.alloc(layout.size);
    zeroed.writeUInt32LE((generation + 1) >>> 0, generationAt);
    if (kernel.writeSlot(slot, zeroed) < 0) return;
    sweep.forget(slot);
    touchedNs[slot] = 0;
    retiredNs[slot] = 0;
    if (kernel.pushSpare(slot) === 0) recycled++;
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
    async run(nowNs, take) {
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
          if (touchedNs[slot] === 0) continue;
          used++;
          if (sweep.active(slot) !== 0 || nowNs - touchedNs[slot]! < Math.min(idleNs, quarantineNs)) continue;
          if (retiredNs[slot] === 0) {
            if (nowNs - touchedNs[slot]! < idleNs) continue;
            retire(slot, nowNs);
          } else if (nowNs - Math.max(retiredNs[slot]!, touchedNs[slot]!) >= quarantineNs) {
            if (sweep.one(slot, take)) {
              touchedNs[slot] = nowNs;
              continue;
            }
            ready.push({ slot, generation: slots.generation(slot), totals: sweep.totals(slot) });
          } else continue;
          if (++worked % SLICE === 0) {
            await finish();
            await nextTurn();
          }
        }
      }
      await finish();
      inUse = used;
    },
  };
}
