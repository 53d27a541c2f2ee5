/** What becomes of messages: mutated at random, from a seed. */
import protobuf from 'protobufjs';

/** Numbers in [0, below), the same for the same seed (mulberry32). */
export function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Anywhere, which most often leaves nothing that can be read; or within one field at some depth, and all around it is right. */
export function mutate(message: Buffer, below: (n: number) => number): Buffer {
  return below(4) === 0 ? mutateBytes(message, below) : mutateField(message, below);
}

function mutateField(message: Buffer, below: (n: number) => number): Buffer {
  const fields = below(6) === 0 ? [] : nestedFields(message);
  const field = fields[below(fields.length || 1)];
  if (!field) return mutateBytes(message, below);
  const value = mutateField(message.subarray(field.from, field.to), below);
  const length = protobuf.Writer.create().uint32(value.length).finish();
  return Buffer.concat([message.subarray(0, field.at), length, value, message.subarray(field.to)]);
}

interface Field {
  /** Where its length is, and its value from there. */
  readonly at: number;
  readonly from: number;
  readonly to: number;
}

/** The fields with a length: messages, texts, bytes. None where the bytes are no message. */
function nestedFields(message: Buffer): Field[] {
  const reader = protobuf.Reader.create(message);
  const fields: Field[] = [];
  try {
    while (reader.pos < reader.len) {
      const wireType = reader.uint32() & 7;
      const at = reader.pos;
      if (wireType === 2) {
        const length = reader.uint32();
        const from = reader.pos;
        reader.skip(length);
        fields.push({ at, from, to: reader.pos });
      } else reader.skipType(wireType);
    }
    return fields;
  } catch {
    return []; // a text
  }
}

/** Bytes changed, cut out, put in twice, moved, or cut off. */
function mutateBytes(message: Buffer, below: (n: number) => number): Buffer {
  let bytes = Buffer.from(message);
  for (let times = 1 + below(4); times > 0 && bytes.length > 0; times--) {
    const at = below(bytes.length);
    const length = 1 + below(8);
    switch (below(6)) {
      case 0:
        bytes[at] = below(256);
        break;
      case 1:
        bytes[at]! ^= 1 << below(8);
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
        break;
      case 4:
        bytes.fill(below(2) === 0 ? 0xff : 0, at, Math.min(at + length, bytes.length));
        break;
      default:
        bytes = bytes.subarray(0, at);
    }
  }
  return bytes;
}
