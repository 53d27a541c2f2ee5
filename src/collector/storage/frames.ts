/**
 * A journal file: the magic, then frames. A frame is the record's length (u32), the CRC-32 of that length and the record
 * (u32), both little-endian, and the record. The length is in the sum, so that zeros, which a file system may leave at
 * the end after a crash, are no empty records.
 */
import { crc32 } from './crc32.ts';

export const MAGIC = Buffer.from('TCPLJNL1', 'latin1');

const HEADER_BYTES = 8;

/** Far above what any owner writes; a length beyond it is damage. */
export const LONGEST_RECORD = 64 << 20;

export function encodeFrames(records: readonly Buffer[]): Buffer {
  return Buffer.concat(records.flatMap((record) => [header(record), record]));
}

function header(record: Buffer): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt32LE(record.length, 0);
  bytes.writeUInt32LE(checksum(record), 4);
  return bytes;
}

function checksum(record: Buffer): number {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(record.length, 0);
  // A sum of two sums: one pass, no copy of the record. Two errors that cancel out are as likely as a CRC collision.
  return (crc32(length) ^ crc32(record)) >>> 0;
}

export interface Scan {
  readonly records: Buffer[];
  /** Where the last whole frame ends: the next one is written here. */
  readonly end: number;
  /** Records that could not be read: a torn one at the end, damaged ones before it. */
  readonly damaged: number;
}

/**
 * All whole records of a file's contents behind the magic. A damaged frame whose length leads to another frame is left
 * out alone; one that leads nowhere ends the journal.
 */
export function scanFrames(contents: Buffer): Scan {
  const records: Buffer[] = [];
  let damaged = 0;
  let skipped = 0;
  let end = MAGIC.length;
  let at = end;
  while (at + HEADER_BYTES <= contents.length) {
    const length = contents.readUInt32LE(at);
    const next = at + HEADER_BYTES + length;
    if (length > LONGEST_RECORD || next > contents.length) break;
    const record = contents.subarray(at + HEADER_BYTES, next);
    if (checksum(record) === contents.readUInt32LE(at + 4)) {
      records.push(record);
      damaged += skipped;
      skipped = 0;
      end = next;
    } else skipped++;
    at = next;
  }
  // Whatever stands behind the last whole frame is one torn write.
  return { records, end, damaged: damaged + (contents.length > end ? 1 : 0) };
}
