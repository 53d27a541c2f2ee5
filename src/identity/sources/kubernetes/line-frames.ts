/** Cuts a watch into its lines, one JSON text each, while its bytes arrive. */
const NEWLINE = 0x0a;

export class LineFrames {
  readonly #maxLineBytes: number;
  #parts: Buffer[] = [];
  #partBytes = 0;
  /** Lines longer than the limit: passed over, not held. */
  oversized = 0;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** The lines that end in this chunk, without their ends; empty ones are left out. */
  push(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      const line = this.#finish(chunk.subarray(from, end));
      from = end + 1;
      if (line !== undefined && line.length > 0) lines.push(line);
    }
    if (from < chunk.length) this.#keep(chunk.subarray(from));
    return lines;
  }

  #keep(part: Buffer): void {
    this.#partBytes += part.length;
    if (this.#partBytes <= this.#maxLineBytes) this.#parts.push(part);
    else this.#parts = [];
  }

  #finish(last: Buffer): Buffer | undefined {
    const parts = this.#parts;
    const bytes = this.#partBytes + last.length;
    this.#parts = [];
    this.#partBytes = 0;
    if (bytes > this.#maxLineBytes) {
      this.oversized++;
      return undefined;
    }
    return parts.length === 0 ? last : Buffer.concat([...parts, last]);
  }
}
