/**
 * A pipe or socket, written without blocking: libuv queues what the kernel does not take. Pieces are whole lines of at
 * most PIPE_BUF bytes, which a pipe takes entirely or not at all (pipe(7)): our lines and those that others write to the
 * same pipe (the agent's own log, after `2>&1`) stay whole however slow the reader is.
 */
import type { Writable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { type Sink, SinkClosed } from './sink.ts';

const PIPE_BUF = 4096;
const NEWLINE = 10;

/** A fast reader takes every piece at once: after this many the event loop gets its turn. */
const PIECES_A_TURN = 64;

/** `owned`: close() ends the stream. */
export function createStreamSink(stream: Writable, owned: boolean): Sink {
  // Without a listener its errors take the process down. It stays for ever: an error may come after close().
  if (stream.listenerCount('error', learnedByCallback) === 0) stream.on('error', learnedByCallback);
  let pieces = 0;
  return {
    async write(lines) {
      if (++pieces % PIECES_A_TURN === 0) await setImmediate();
      const piece = firstPiece(lines);
      await new Promise<void>((resolve, reject) => {
        stream.write(piece, (error) => (error ? reject(new SinkClosed(error)) : resolve()));
      });
      return piece.length;
    },
    retract: async () => false,
    async close() {
      if (owned) stream.destroy();
    },
  };
}

/** The writes in flight get the same error by their callbacks. */
function learnedByCallback(): void {}

/** As many whole lines as fit; a longer line goes by itself. */
function firstPiece(lines: Buffer): Buffer {
  if (lines.length <= PIPE_BUF) return lines;
  const fits = lines.lastIndexOf(NEWLINE, PIPE_BUF - 1);
  return lines.subarray(0, (fits === -1 ? lines.indexOf(NEWLINE) : fits) + 1);
}
