/**
 * The BPF ring buffer, read in place (kernel: kernel/bpf/ringbuf.c, Documentation/bpf/ringbuf.rst). The kernel maps the
 * data area twice in a row, so a record that wraps is contiguous. Never woken: whoever reads comes on a timer.
 *
 * Only a window of the data is mapped at a time, and it moves along with the reader: mapped pages count as the process's
 * memory. The window's address stays; the pages behind it are exchanged in one call, so no view ever dangles.
 */
const BUSY = 0x80000000;
const DISCARDED = 0x40000000;
const HEADER_BYTES = 8;

export interface RingMemory {
  /** The page of the consumer's position (writable) and that of the producer's. */
  readonly consumer: ArrayBuffer;
  readonly producer: ArrayBuffer;
  /** Bytes of the data area, a power of two. */
  readonly bytes: number;
  readonly pageBytes: number;
  /** The window; at least as long as a page and the longest record together. */
  readonly window: ArrayBuffer;
  /** Puts the window at this offset (a multiple of the page size) of the doubled data area. */
  slide(offset: number): void;
}

export interface Ring {
  /** What `visit` gets offsets into. */
  readonly memory: ArrayBuffer;
  /**
   * Visits up to `limit` records, oldest first, and gives their room back when it returns. Returns how many there were;
   * fewer than `limit` means that the ring is empty, or that the next record is still being written.
   */
  drain(visit: (at: number) => void, limit: number): number;
  /** Share of the ring that waits to be read. */
  fill(): number;
}

export function openRing(ring: RingMemory): Ring {
  const consumed = new BigUint64Array(ring.consumer, 0, 1);
  const produced = new BigUint64Array(ring.producer, 0, 1);
  const words = new Int32Array(ring.window);
  const windowBytes = ring.window.byteLength;
  /** Offset of the window in the doubled data area; the first look puts it where the reader is. */
  let start = -windowBytes;

  /** The place in the window of `length` bytes at `position`, after sliding it there if need be. */
  const reach = (position: number, length: number): number => {
    const offset = position % ring.bytes;
    if (offset < start || offset + length > start + windowBytes) {
      start = Math.min(offset - (offset % ring.pageBytes), 2 * ring.bytes - windowBytes);
      ring.slide(start);
    }
    return offset - start;
  };

  return {
    memory: ring.window,
    drain(visit, limit) {
      /* acquire: the producer's position before the headers, each header before its record */
      const end = Number(Atomics.load(produced, 0));
      let position = Number(Atomics.load(consumed, 0));
      let count = 0;
      try {
        while (position < end && count < limit) {
          const header = Atomics.load(words, reach(position, HEADER_BYTES) >>> 2);
          if (header & BUSY) break;
          const length = header & ~DISCARDED;
          const at = reach(position, HEADER_BYTES + length) + HEADER_BYTES;
          position += HEADER_BYTES + ((length + 7) & ~7);
          if (header & DISCARDED) continue;
          count++;
          visit(at);
        }
      } finally {
        Atomics.store(consumed, 0, BigInt(position));
      }
      return count;
    },
    fill: () => Number(Atomics.load(produced, 0) - Atomics.load(consumed, 0)) / ring.bytes,
  };
}
