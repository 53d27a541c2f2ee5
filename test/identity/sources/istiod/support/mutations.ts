/** Discovery messages and what becomes of them: mutated at random, from a seed. */
import { encode } from '../../xds/support/protobuf.ts';
import { pod, response, serviceKey, serviceResource, uidOf } from './rig.ts';

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

const SERVICES = { [serviceKey('web')]: { ports: [{ servicePort: 80, targetPort: 8080 }] } };
const MORE = {
  network: '',
  trustDomain: 'mesh',
  serviceAccount: 'web',
  node: 'n1',
  services: SERVICES,
  locality: { region: 'r', zone: 'z' },
};

/** A whole mesh. */
export const RIGHT = response([
  pod('a', '10.0.0.1', 'v1', MORE),
  pod('b', '10.0.0.2', 'v1', MORE),
  serviceResource('web', '10.96.0.1', 'v1'),
]);

/** Messages that are right. */
export const MESSAGES: readonly Buffer[] = [
  RIGHT,
  response([pod('a', '10.0.0.3', '', { networkMode: 1 })], [uidOf('b'), serviceKey('web'), '/10.0.0.1']),
  response(
    [],
    Array.from({ length: 5 }, (_, i) => `/10.0.0.${i}`),
  ),
].map((message) => encode('DeltaDiscoveryResponse', message));

/** Bytes changed, cut out, put in twice, moved, or cut off. */
export function mutate(message: Buffer, below: (n: number) => number): Buffer {
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
