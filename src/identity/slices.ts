/** Long work in short pieces: nothing of ours keeps the event loop from its turn for long. */

/** How long one piece may be. A collection of garbage may fall into it, and another process may hold the CPU meanwhile. */
const SLICE_MS = 5;

/** To be awaited often within long work. */
export type Breather = () => Promise<void> | undefined;

/** Once a slice is over the breather lets the event loop have its turn. */
export function createBreather(sliceMs = SLICE_MS): Breather {
  let began = performance.now();
  return () => {
    if (performance.now() - began < sliceMs) return undefined;
    return new Promise((resolve) => {
      setImmediate(() => {
        began = performance.now();
        resolve();
      });
    });
  };
}
