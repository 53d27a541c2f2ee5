/**
 * The mapped slots, a chunk at a time as slots come into use: mapped pages count as the process's memory, and most nodes
 * use few of their slots.
 */
import type { Layout } from './btf.ts';

/** A whole number of pages whatever the size of a slot. */
export const SLOTS_PER_CHUNK = 1024;

export interface SlotMemory {
  /** Bytes of a slot, and 32-bit words. */
  readonly bytesPerSlot: number;
  readonly wordsPerSlot: number;
  /** The chunk that holds a slot, as words and as bytes; the slot begins at `base(slot)` bytes. */
  words(slot: number): Uint32Array;
  bytes(slot: number): Buffer;
  base(slot: number): number;
  generation(slot: number): number;
}

/** `map(chunk)` is called once per chunk. */
export function createSlotMemory(layout: Layout, map: (chunk: number) => ArrayBuffer): SlotMemory {
  const words: (Uint32Array | undefined)[] = [];
  const bytes: (Buffer | undefined)[] = [];
  const generationAt = layout.offset('generation');
  const load = (chunk: number) => {
    const memory = map(chunk);
    bytes[chunk] = Buffer.from(memory);
    words[chunk] = new Uint32Array(memory);
  };
  const wordsOf = (slot: number): Uint32Array => {
    const chunk = Math.floor(slot / SLOTS_PER_CHUNK);
    if (words[chunk] === undefined) load(chunk);
    return words[chunk]!;
  };
  const bytesOf = (slot: number): Buffer => {
    const chunk = Math.floor(slot / SLOTS_PER_CHUNK);
    if (bytes[chunk] === undefined) load(chunk);
    return bytes[chunk]!;
  };
  const base = (slot: number) => (slot % SLOTS_PER_CHUNK) * layout.size;
  return {
    bytesPerSlot: layout.size,
    wordsPerSlot: layout.size >>> 2,
    words: wordsOf,
    bytes: bytesOf,
    base,
    generation: (slot) => bytesOf(slot).readUInt32LE(base(slot) + generationAt),
  };
}
