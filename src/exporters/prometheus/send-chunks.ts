/**
 * Writes chunks to a slow or fast reader. One chunk is under way at a time, so a buffer may be reused for the next and a
 * stuck reader holds one chunk; between chunks the event loop has its turn.
 */
import type { Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';

/** Resolves when the sink has taken every chunk (true) or has closed before (false). Does not end it. */
export async function sendChunks(sink: Writable, chunks: Iterable<Uint8Array>): Promise<boolean> {
  for (const chunk of chunks) {
    if (!(await write(sink, chunk))) return false;
    await turn();
  }
  return true;
}

/** Resolves when the sink no longer needs the chunk: written to the kernel, or compressed. */
function write(sink: Writable, chunk: Uint8Array): Promise<boolean> {
  if (sink.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => {
    const closed = () => resolve(false);
    // A response whose connection breaks may forget its callbacks; it always closes.
    sink.once('close', closed);
    sink.write(chunk, (error) => {
      sink.off('close', closed);
      resolve(error === null || error === undefined);
    });
  });
}
