/** Reads the fields of a protobuf message, as far as small messages from a peer need it. */

export interface Field {
  readonly number: number;
  /** A varint (exact below 2^53), or the bytes of text or a nested message. Fixed-width fields are passed over. */
  readonly value: number | Buffer;
}

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** The fields up to the end, or up to where the message stops making sense: a peer may send anything. */
export function readFields(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; at < message.length; scale *= 128) {
      const byte = message[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    return Number.NaN;
  };
  while (at < message.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    switch (key % 8) {
      case VARINT:
        fields.push({ number, value: varint() });
        break;
      case BYTES: {
        const size = varint();
        if (!(at + size <= message.length)) return fields;
        fields.push({ number, value: message.subarray(at, at + size) });
        at += size;
        break;
      }
      case FIXED64:
        at += 8;
        break;
      case FIXED32:
        at += 4;
        break;
      default:
        return fields;
    }
  }
  return fields;
}

/** The values of a field that holds text or a message, in order. */
export function messages(fields: readonly Field[], number: number): Buffer[] {
  return fields.flatMap(({ number: found, value }) => (found === number && Buffer.isBuffer(value) ? [value] : []));
}
