/**
 * The BPF ring buffer, read in place (kernel: kernel/bpf/ringbuf.c, Documentation/bpf/ringbuf.rst). The data area is
 * mapped twice in a row, so a record that wraps is contiguous. Never woken: whoever reads comes on a timer.
 */
const BUSY = 0x80000000;
const DISCARDED = 0x40000000;
const HEADER_BYTES = 8;
const PAGE = 4096;

export interface RingMemory {
  readonly consumer: ArrayBuffer;
  readonly producer: ArrayBuffer;
  /** Bytes of the data area, a power of two. */
  readonly bytes: number;
}

export interface Ring {
  /** The producer's mapping: what `visit` gets offsets into. */
  readonly memory: ArrayBuffer;
  /**
   * Visits up to `limit` records, oldest first, and gives their room back when it returns. Returns how many there were;
   * fewer than `limit` means that the ring is empty, or that the next record is still being written.
   */
  drain(visit: (at: number) => void, limit: number): number;
  /** Share of the ring that waits to be read. */
  fill(): number;
}

export function openRing({ consumer, producer, bytes }: RingMemory): Ring {
  const consumed = new BigUint64Array(consumer, 0, 1);
  const produced = new BigUint64Array(producer, 0, 1);
  const words = new Int32Array(producer);
  return {
    memory: producer,
    drain(visit, limit) {
      /* acquire: the producer's position before the headers, each header before its record */
      const end = Number(Atomics.load(produced, 0));
      let position = Number(Atomics.load(consumed, 0));
      let count = 0;
      try {
        while (position < end && count < limit) {
          const at = PAGE + (position % bytes);
          const header = Atomics.load(words, at >>> 2);
          if (header & BUSY) break;
          const length = header & ~DISCARDED;
          position += HEADER_BYTES + ((length + 7) & ~7);
          if (header & DISCARDED) continue;
          count++;
          visit(at + HEADER_BYTES);
        }
      } finally {
        Atomics.store(consumed, 0, BigInt(position));
      }
      return count;
    },
    fill: () => Number(Atomics.load(produced, 0) - Atomics.load(consumed, 0)) / bytes,
  };
}
