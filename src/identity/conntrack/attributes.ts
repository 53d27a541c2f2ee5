/**
 * Netlink attributes (linux/netlink.h, struct nlattr): u16 length of header and value, u16 type, the value, padding to
 * four bytes. Numbers of the header are in the machine's order, little-endian on all that the agent runs on.
 */
const ATTRIBUTE_HEADER_BYTES = 4;

/** NLA_F_NESTED: the value is attributes. */
const NESTED = 0x8000;
/** NLA_TYPE_MASK: without NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
const TYPE_MASK = 0x3fff;

export const aligned = (bytes: number): number => (bytes + 3) & ~3;

export function attribute(type: number, value: Uint8Array): Buffer {
  const bytes = Buffer.alloc(ATTRIBUTE_HEADER_BYTES + aligned(value.length));
  bytes.writeUInt16LE(ATTRIBUTE_HEADER_BYTES + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(value, ATTRIBUTE_HEADER_BYTES);
  return bytes;
}

export const nested = (type: number, ...parts: readonly Buffer[]): Buffer =>
  attribute(type | NESTED, Buffer.concat(parts));

/** Where a value stands in the message: from `start` up to `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** The value of the first attribute of this type within `span`; undefined where there is none, or only a part of one. */
function find(bytes: Buffer, { start, end }: Span, type: number): Span | undefined {
  for (let at = start; at + ATTRIBUTE_HEADER_BYTES <= end; ) {
    const length = bytes.readUInt16LE(at);
    if (length < ATTRIBUTE_HEADER_BYTES || at + length > end) return undefined;
    if ((bytes.readUInt16LE(at + 2) & TYPE_MASK) === type)
      return { start: at + ATTRIBUTE_HEADER_BYTES, end: at + length };
    at += aligned(length);
  }
  return undefined;
}

/** The value at the end of a path of nested attributes. */
export function findNested(bytes: Buffer, span: Span, path: readonly number[]): Span | undefined {
  let found: Span | undefined = span;
  for (const type of path) found = found && find(bytes, found, type);
  return found;
}
