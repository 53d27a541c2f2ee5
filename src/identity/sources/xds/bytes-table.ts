/** Something made once for each sequence of bytes, found by the bytes in place: `TextTable` for what is no text. */
import { hashOf } from './text-table.ts';

interface Made<T> {
  readonly bytes: Buffer;
  readonly value: T;
}

export class BytesTable<T> {
  /** By hash; where two sequences have one hash the later is not kept. */
  readonly #byHash = new Map<number, Made<T>>();

  /** What `make` made of `bytes[start, end)`, of a copy that it may keep. */
  get(bytes: Buffer, start: number, end: number, make: (bytes: Buffer) => T): T {
    const hash = hashOf(bytes, start, end);
    const known = this.#byHash.get(hash);
    if (known !== undefined && isSame(known.bytes, bytes, start, end)) return known.value;
    const copy = Buffer.from(bytes.subarray(start, end));
    const value = make(copy);
    if (known === undefined) this.#byHash.set(hash, { bytes: copy, value });
    return value;
  }
}

function isSame(known: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (known.length !== end - start) return false;
  for (let i = 0; i < known.length; i++) if (known[i] !== bytes[start + i]) return false;
  return true;
}
