/**
 * A BPF ring buffer in memory, as kernel/bpf/ringbuf.c writes it: positions that only grow, headers with the busy and
 * discarded bits, the data area doubled, of which a window is seen.
 */
import type { RingMemory } from '../../src/receiver/ring.ts';

const BUSY = 0x80000000;
const DISCARDED = 0x40000000;
const HEADER = 8;
const PAGE = 4096;

export class FakeRing implements RingMemory {
  readonly consumer = new ArrayBuffer(PAGE);
  readonly producer = new ArrayBuffer(PAGE);
  readonly bytes: number;
  readonly pageBytes: number;
  readonly window: ArrayBuffer;
  /** Offsets that the window was put at. */
  readonly slides: number[] = [];
  readonly #data: Buffer;
  #windowAt = 0;

  constructor(bytes: number, windowBytes = Math.min(1024 * 1024, 2 * bytes), startPosition = 0n, pageBytes = PAGE) {
    this.bytes = bytes;
    this.pageBytes = pageBytes;
    this.window = new ArrayBuffer(windowBytes);
    this.#data = Buffer.alloc(bytes, 0xaa);
    new BigUint64Array(this.consumer)[0] = startPosition;
    new BigUint64Array(this.producer)[0] = startPosition;
    this.#show();
  }

  slide(offset: number): void {
    if (offset % this.pageBytes !== 0) throw new Error(`the window cannot be put at ${offset}: no multiple of a page`);
    if (offset + this.window.byteLength > 2 * this.bytes) throw new Error(`a window at ${offset} leaves the data area`);
    this.slides.push(offset);
    this.#windowAt = offset;
    this.#show();
  }

  get consumed(): bigint {
    return new BigUint64Array(this.consumer)[0]!;
  }

  get produced(): bigint {
    return new BigUint64Array(this.producer)[0]!;
  }

  /** bpf_ringbuf_reserve: the position of the record, busy until it is committed; undefined when there is no room. */
  reserve(length: number): bigint | undefined {
    const at = this.produced;
    const end = at + BigInt(HEADER + ((length + 7) & ~7));
    if (end - this.consumed >= BigInt(this.bytes)) return undefined;
    this.#header(at, (length | BUSY) >>> 0);
    new BigUint64Array(this.producer)[0] = end;
    this.#show();
    return at;
  }

  /** bpf_ringbuf_submit, or bpf_ringbuf_discard. */
  commit(at: bigint, record: Buffer, how: 'submit' | 'discard' = 'submit'): void {
    for (let i = 0; i < record.length; i++) this.#data[this.#place(at + BigInt(HEADER + i))] = record[i]!;
    this.#header(at, (record.length | (how === 'discard' ? DISCARDED : 0)) >>> 0);
    this.#show();
  }

  /** False when there was no room. */
  write(record: Buffer, how: 'submit' | 'discard' = 'submit'): boolean {
    const at = this.reserve(record.length);
    if (at === undefined) return false;
    this.commit(at, record, how);
    return true;
  }

  #place(position: bigint): number {
    return Number(position % BigInt(this.bytes));
  }

  #header(at: bigint, value: number): void {
    this.#data.writeUInt32LE(value, this.#place(at));
  }

  /** What a mapping does by itself: the window shows the data behind it. */
  #show(): void {
    const window = Buffer.from(this.window);
    for (let done = 0; done < window.length; ) {
      const from = (this.#windowAt + done) % this.bytes;
      done += this.#data.copy(window, done, from, Math.min(this.bytes, from + window.length - done));
    }
  }
}
