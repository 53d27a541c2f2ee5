/** Reading a slot's `struct pair` (bpf/pair.h). */
import { addressAt } from '../semconv/address.ts';
import type { Layout } from './btf.ts';
import type { SlotMemory } from './slot-memory.ts';
import { commText, TextCache } from './text-cache.ts';
import type { Pair, Role, SlotKind } from './types.ts';

const TWO_32 = 2 ** 32;

/** enum slot_kind of bpf/pair.h. */
const KINDS: readonly SlotKind[] = ['pair', 'coarse', 'unattributed'];

/** enum role of bpf/pair.h. */
export const ROLES: Readonly<Record<number, Role>> = { 1: 'source', 2: 'destination' };

/** Slots 0 and 1 hold what has no pair, one for each role. */
const UNATTRIBUTED_ROLES: readonly Role[] = ['source', 'destination'];
const UNATTRIBUTED = {
  kind: 'unattributed',
  localAddress: '',
  remoteAddress: '',
  servicePort: 0,
  cgroupId: 0n,
  netns: 0,
  executable: '',
  dialledAddress: '',
  dialledPort: 0,
  createdNs: 0,
} as const;

/** The first slot that is a pair's: FIRST_PAIR_SLOT of bpf/pair.h. */
export const FIRST_PAIR_SLOT = UNATTRIBUTED_ROLES.length;

export const addressTexts = new TextCache(addressAt);
export const commTexts = new TextCache(commText);

/** Reads the pair of a slot as it is now. */
export function createPairReader(slots: SlotMemory, slot: Layout, pair: Layout): (slot: number) => Pair {
  const pairAt = slot.offset('pair');
  const generationAt = slot.offset('generation') >>> 2;
  const createdAt = slot.offset('created_ns') >>> 2;
  const local = pair.offset('local_ip');
  const remote = pair.offset('remote_ip');
  const cgroup = pair.offset('cgroup_id');
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
      localAddress: addressTexts.get(words, bytes, at + local),
      remoteAddress: what === 'pair' ? addressTexts.get(words, bytes, at + remote) : '',
      servicePort: short(servicePort),
      cgroupId: bytes.readBigUInt64LE(at + cgroup),
      netns: words[(at >>> 2) + netns]!,
      executable: commTexts.get(words, bytes, at + comm),
      dialledAddress: port === 0 ? '' : addressTexts.get(words, bytes, at + dialledIp),
      dialledPort: port,
      createdNs: words[word + createdAt + 1]! * TWO_32 + words[word + createdAt]!,
    };
  };
}
