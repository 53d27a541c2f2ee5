/** Reading a slot's `struct pair` (bpf/pair.h). */
import { addressFromBytes } from '../identity/address.ts';
import type { Layout } from './btf.ts';
import { commText, TextCache } from './text-cache.ts';
import type { Pair, Role, SlotKind } from './types.ts';

/** enum slot_kind of bpf/pair.h. */
const KINDS: readonly SlotKind[] = ['pair', 'coarse', 'unattributed'];

/** enum role of bpf/pair.h. */
export const ROLES: Readonly<Record<number, Role>> = { 1: 'source', 2: 'destination' };

export const addressTexts = new TextCache((bytes, at) => addressFromBytes(bytes.subarray(at, at + 16))!);
export const commTexts = new TextCache(commText);

export interface PairReader {
  /** The pair at byte `at` of `bytes`, as the slot has it now. */
  read(at: number, slot: number, generation: number, createdNs: number): Pair;
}

export function createPairReader(memory: ArrayBuffer, pair: Layout): PairReader {
  const words = new Uint32Array(memory);
  const bytes = Buffer.from(memory);
  const local = pair.offset('local_ip');
  const remote = pair.offset('remote_ip');
  const cgroup = pair.offset('cgroup_id');
  const netns = pair.offset('netns');
  const port = pair.offset('service_port');
  const role = pair.offset('role');
  const kind = pair.offset('kind');
  const comm = pair.offset('comm');
  return {
    read(at, slot, generation, createdNs) {
      const unattributed = slot < 2;
      const what = unattributed ? 'unattributed' : KINDS[bytes[at + kind]!]!;
      return {
        slot,
        generation,
        kind: what,
        /* slots 0 and 1 hold what has no pair, one for each role */
        role: unattributed ? (slot === 0 ? 'source' : 'destination') : ROLES[bytes[at + role]!]!,
        localAddress: unattributed ? '' : addressTexts.get(words, bytes, at + local),
        remoteAddress: what === 'pair' ? addressTexts.get(words, bytes, at + remote) : '',
        servicePort: bytes.readUInt16LE(at + port),
        cgroupId: bytes.readBigUInt64LE(at + cgroup),
        netns: bytes.readUInt32LE(at + netns),
        executable: unattributed ? '' : commTexts.get(words, bytes, at + comm),
        createdNs,
      };
    },
  };
}
