/** Reading a slot's `struct pair` (bpf/pair.h). */
import { type Address, addressAt, NO_ADDRESS } from '../semconv/address.ts';
import type { Layout } from './btf.ts';
import type { SlotMemory } from './slot-memory.ts';
import { commText, TextCache } from './text-cache.ts';
import type { Pair, Role, SlotKind } from './types.ts';

const TWO_32 = 2 ** 32;

/** The third word of a v4-mapped address, as this (little-endian) machine reads it. */
const MAPPED_WORD = 0xffff_0000;

/** enum slot_kind of bpf/pair.h. */
const KINDS: readonly SlotKind[] = ['pair', 'coarse', 'unattributed'];

/** enum role of bpf/pair.h. */
export const ROLES: Readonly<Record<number, Role>> = { 1: 'source', 2: 'destination' };

/** Slots 0 and 1 hold what has no pair, one for each role. */
const UNATTRIBUTED_ROLES: readonly Role[] = ['source', 'destination'];
const UNATTRIBUTED = {
  kind: 'unattributed',
  localAddress: NO_ADDRESS,
  remoteAddress: NO_ADDRESS,
  servicePort: 0,
  cgroupId: 0,
  netns: 0,
  executable: '',
  dialledAddress: NO_ADDRESS,
  dialledPort: 0,
  createdNs: 0,
} as const;

/** The first slot that is a pair's: FIRST_PAIR_SLOT of bpf/pair.h. */
export const FIRST_PAIR_SLOT = UNATTRIBUTED_ROLES.length;

export const addressTexts = new TextCache(addressAt);
export const commTexts = new TextCache(commText);

/** The 16 bytes at `at`, v4-mapped IPv6 as IPv4. */
function address(words: Uint32Array, bytes: Buffer, at: number): Address {
  const word = at >>> 2;
  if (words[word] !== 0 || words[word + 1] !== 0 || words[word + 2] !== MAPPED_WORD) {
    return addressTexts.get(words, bytes, at) as Address;
  }
  return (bytes[at + 12]! << 24) | (bytes[at + 13]! << 16) | (bytes[at + 14]! << 8) | bytes[at + 15]!;
}

/** A u64 below 2^53. */
const double = (words: Uint32Array, word: number): number => words[word + 1]! * TWO_32 + words[word]!;

/** Reads the pair of a slot as it is now. */
export function createPairReader(slots: SlotMemory, slot: Layout, pair: Layout): (slot: number) => Pair {
  const pairAt = slot.offset('pair');
  const generationAt = slot.offset('generation') >>> 2;
  const createdAt = slot.offset('created_ns') >>> 2;
  const local = pair.offset('local_ip');
  const remote = pair.offset('remote_ip');
  const cgroup = pair.offset('cgroup_id') >>> 2;
  const netns = pair.offset('netns') >>> 2;
  const servicePort = pair.offset('service_port');
  const role = pair.offset('role');
  const kind = pair.offset('kind');
  const comm = pair.offset('comm');
  const dialledIp = pair.offset('dialled_ip');
  const dialledPort = pair.offset('dialled_port');
  return (number) => {
    const words = slots.words(number);
    const bytes = slots.bytes(number);
    const base = slots.base(number);
    const word = base >>> 2;
    const at = base + pairAt;
    const generation = words[word + generationAt]!;
    if (number < UNATTRIBUTED_ROLES.length) {
      return {
        ...UNATTRIBUTED,
        slot: number,
        generation,
        role: UNATTRIBUTED_ROLES[number]!,
      };
    }
    const what = KINDS[bytes[at + kind]!]!;
    const short = (offset: number) => bytes[at + offset]! | (bytes[at + offset + 1]! << 8);
    const port = short(dialledPort);
    return {
      slot: number,
      generation,
      kind: what,
      role: ROLES[bytes[at + role]!]!,
      localAddress: address(words, bytes, at + local),
      remoteAddress: what === 'pair' ? address(words, bytes, at + remote) : NO_ADDRESS,
      servicePort: short(servicePort),
      cgroupId: double(words, (at >>> 2) + cgroup),
      netns: words[(at >>> 2) + netns]!,
      executable: commTexts.get(words, bytes, at + comm),
      dialledAddress: port === 0 ? NO_ADDRESS : address(words, bytes, at + dialledIp),
      dialledPort: port,
      createdNs: double(words, word + createdAt),
    };
  };
}
