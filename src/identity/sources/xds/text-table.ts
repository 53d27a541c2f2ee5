/**
 * One string for each text that a message repeats: of the texts of a hundred thousand workloads nine in ten are some
 * namespace, account, node or owner. Found by the bytes, so that a text known already costs no string at all. Made for
 * one message and dropped with it: what stays of it is what objects hold.
 */
export class TextTable {
  /** By hash; where two texts have one hash the later is not kept. */
  readonly #byHash = new Map<number, string>();

  /** The UTF-8 text in `bytes[start, end)`. */
  readonly read = (bytes: Buffer, start: number, end: number): string => {
    if (start === end) return '';
    const hash = hashOf(bytes, start, end);
    const known = this.#byHash.get(hash);
    if (known !== undefined && isText(known, bytes, start, end)) return known;
    const text = bytes.toString('utf8', start, end);
    if (known === undefined) this.#byHash.set(hash, text);
    return text;
  };
}

/** FNV-1a, 32 bits. */
export function hashOf(bytes: Buffer, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  return hash;
}

/** False for every text that is not ASCII: it is then read anew. */
function isText(text: string, bytes: Buffer, start: number, end: number): boolean {
  if (text.length !== end - start) return false;
  for (let i = 0; i < text.length; i++) {
    const byte = bytes[start + i]!;
    if (byte > 127 || text.charCodeAt(i) !== byte) return false;
  }
  return true;
}
