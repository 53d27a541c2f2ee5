/** Discovery messages through an implementation that is not ours: protobufjs over the published field numbers. */
import protobuf from 'protobufjs';
import { DISCOVERY_PROTO } from './discovery-proto.ts';

const { root } = protobuf.parse(DISCOVERY_PROTO);

export function encode(type: string, value: object): Buffer {
  const message = root.lookupType(type);
  return Buffer.from(message.encode(message.fromObject(value)).finish());
}

/** As plain objects, defaults filled in, 64-bit integers as numbers, bytes as Buffers. */
// biome-ignore lint/suspicious/noExplicitAny: the shapes are those of discovery-proto.ts
export function decode(type: string, bytes: Uint8Array): any {
  const message = root.lookupType(type);
  return message.toObject(message.decode(bytes), { longs: Number, defaults: true, arrays: true, objects: true });
}
