/**
 * Texts of fixed-size byte strings in mapped memory (addresses, comm), without making the same string twice: a
 * direct-mapped cache over the four 32-bit words of 16 bytes. A miss costs what the maker costs, a hit a few loads.
 */
const ENTRY_BITS = 12;
const ENTRIES = 2 ** ENTRY_BITS;

export type TextAt = (bytes: Buffer, at: number) => string;

/** `words` and `bytes` are views of the same memory; `at` is a byte offset, a multiple of 4. */
export class TextCache {
  private readonly keys = new Uint32Array(ENTRIES * 4);
  private readonly texts: (string | undefined)[] = new Array(ENTRIES);
  private readonly make: TextAt;

  constructor(make: TextAt) {
    this.make = make;
  }

  get(words: Uint32Array, bytes: Buffer, at: number): string {
    const word = at >>> 2;
    const a = words[word]!;
    const b = words[word + 1]!;
    const c = words[word + 2]!;
    const d = words[word + 3]!;
    const hash = Math.imul(
      a ^ Math.imul(b, 0x9e3779b1) ^ Math.imul(c, 0x85ebca6b) ^ Math.imul(d, 0xc2b2ae35),
      0x27d4eb2f,
    );
    const entry = hash >>> (32 - ENTRY_BITS);
    const key = entry * 4;
    const { keys } = this;
    let text = this.texts[entry];
    if (text === undefined || keys[key] !== a || keys[key + 1] !== b || keys[key + 2] !== c || keys[key + 3] !== d) {
      text = this.make(bytes, at);
      keys[key] = a;
      keys[key + 1] = b;
      keys[key + 2] = c;
      keys[key + 3] = d;
      this.texts[entry] = text;
    }
    return text;
  }
}

/** comm: up to 16 bytes, NUL-terminated unless full. */
export function commText(bytes: Buffer, at: number): string {
  let end = at;
  while (end < at + 16 && bytes[end] !== 0) end++;
  return bytes.toString('utf8', at, end);
}
