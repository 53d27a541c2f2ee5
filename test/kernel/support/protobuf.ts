/** The wire format of protobuf, without any schema. */

/** Contents of all length-delimited fields of that number: sub-messages, strings. */
export function nested(bytes: Buffer, number: number): Buffer[] {
  return fields(bytes)
    .filter((field) => field.number === number)
    .map((field) => field.value as Buffer);
}

export interface Field {
  readonly number: number;
  /** bytes for length-delimited fields, else the number's bits */
  readonly value: Buffer | bigint;
}

/** All fields of a message, in order. */
export function fields(bytes: Buffer): Field[] {
  const found: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('protobuf: cut off in a number');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const number = tag >>> 3;
    switch (tag & 7) {
      case 0:
        found.push({ number, value: varint() });
        break;
      case 1:
        found.push({ number, value: bytes.readBigUInt64LE(at) });
        at += 8;
        break;
      case 2: {
        const length = Number(varint());
        if (at + length > bytes.length) throw new Error('protobuf: cut off in a field');
        found.push({ number, value: bytes.subarray(at, at + length) });
        at += length;
        break;
      }
      case 5:
        found.push({ number, value: BigInt(bytes.readUInt32LE(at)) });
        at += 4;
        break;
      default:
        throw new Error(`protobuf: wire type ${tag & 7}`);
    }
  }
  return found;
}
