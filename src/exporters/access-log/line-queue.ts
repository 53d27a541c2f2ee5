/**
 * Lines waiting to be written, in order, with the place of the write in progress. A chunk holds whole lines and leaves
 * only when all of it is written, so a line that was begun can be written again from its start.
 */
const NEWLINE = 10;

/** Small chunks are joined up to this size before they are written: one system call instead of many. */
const JOINED_BYTES = 256 * 1024;

export class LineQueue {
  #chunks: Buffer[] = [];
  /** Bytes of the first chunk that are written. */
  #offset = 0;
  #bytes = 0;

  /** Bytes not yet written. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whole lines. The queue owns the buffer from now on. */
  push(lines: Buffer): void {
    if (lines.length === 0) return;
    this.#chunks.push(lines);
    this.#bytes += lines.length;
  }

  /** What to write next; undefined when there is nothing. */
  head(): Buffer | undefined {
    if (this.#offset === 0) this.#join();
    return this.#chunks[0]?.subarray(this.#offset);
  }

  /** `count` bytes of head() are written. */
  advance(count: number): void {
    this.#bytes -= count;
    this.#offset += count;
    if (this.#offset < this.#chunks[0]!.length) return;
    this.#chunks.shift();
    this.#offset = 0;
  }

  /** Bytes of a line that are written while its end is not. */
  get torn(): number {
    if (this.#offset === 0) return 0;
    return this.#offset - 1 - this.#chunks[0]!.lastIndexOf(NEWLINE, this.#offset - 1);
  }

  /** The line that was begun is written again from its start. */
  rewind(): void {
    const { torn } = this;
    this.#offset -= torn;
    this.#bytes += torn;
  }

  /** Throws everything away; returns the number of lines that are not written to their end. */
  clear(): number {
    let lines = 0;
    for (const [i, chunk] of this.#chunks.entries()) lines += countLines(chunk, i === 0 ? this.#offset : 0);
    this.#chunks = [];
    this.#offset = 0;
    this.#bytes = 0;
    return lines;
  }

  #join(): void {
    let size = this.#chunks[0]?.length ?? 0;
    let count = 1;
    while (count < this.#chunks.length && size + this.#chunks[count]!.length <= JOINED_BYTES) {
      size += this.#chunks[count++]!.length;
    }
    if (count > 1) this.#chunks.splice(0, count, Buffer.concat(this.#chunks.slice(0, count), size));
  }
}

function countLines(lines: Buffer, from: number): number {
  let count = 0;
  for (let at = lines.indexOf(NEWLINE, from); at !== -1; at = lines.indexOf(NEWLINE, at + 1)) count++;
  return count;
}
