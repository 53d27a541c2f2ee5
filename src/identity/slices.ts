/**
 * Long work in short pieces: nothing of ours keeps the event loop from its turn for long. All long work of the process
 * shares one slice a turn: when each had one of its own, five lists that were read at once blocked for five slices.
 */

/** How long the slice of a turn is. A collection of garbage may fall into it, and another process may hold the CPU meanwhile. */
const SLICE_MS = 2;

/** To be awaited often within long work. */
export type Breather = () => Promise<void> | undefined;

/** Who waits for a turn, longest first. */
const waiting: (() => void)[] = [];
/** When the slice of this turn began. */
let began = performance.now();

/** Once the slice is over this lets the event loop have its turn, and goes on when those that waited before have had one. */
export const breathe: Breather = () => {
  if (performance.now() - began < SLICE_MS) return undefined;
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) setImmediate(turn);
  });
};

/** One of them a turn: how much it leaves of the slice cannot be known, since it goes on after this function. */
function turn(): void {
  began = performance.now();
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(turn);
}
