/** Decoding `struct listener` (bpf/listener.h): who listens where, and how its accept queue does. As of the last settle. */
import type { Layout } from './btf.ts';
import { addressTexts, commTexts } from './pairs.ts';

export interface Listener {
  /** Inode of the socket's cgroup v2 directory. */
  readonly cgroupId: bigint;
  /** Inode of its network namespace. */
  readonly netns: number;
  /** Canonical text; `0.0.0.0` or `::` for all addresses. */
  readonly localAddress: string;
  /** 0 when it listens without having been bound, until a settle has found out. */
  readonly port: number;
  /** Of the process that called listen; 0 for the kernel's own. */
  readonly pid: number;
  readonly executable: string;
  /** Connections that wait for accept, and how many may (sk_ack_backlog, sk_max_ack_backlog). One more than may is let in. */
  readonly queue: number;
  readonly queueLimit: number;
  /** SYNs and handshakes dropped since it listens, modulo 2^32 (sk_drops): its share of the namespace's ListenDrops. */
  readonly drops: number;
}

/** `value` is one element of Kernel.listeners(). */
export function createListenerReader(layout: Layout): (value: Buffer) => Listener {
  const offset = (member: string) => layout.offset(member);
  const cgroup = offset('cgroup_id');
  const local = offset('local_ip');
  const netns = offset('netns');
  const port = offset('port');
  const pid = offset('pid');
  const comm = offset('comm');
  const queue = offset('queue');
  const limit = offset('queue_limit');
  const drops = offset('drops');
  return (value) => {
    const words = new Uint32Array(value.buffer, value.byteOffset, value.length >>> 2);
    return {
      cgroupId: value.readBigUInt64LE(cgroup),
      netns: value.readUInt32LE(netns),
      localAddress: addressTexts.get(words, value, local),
      port: value.readUInt16LE(port),
      pid: value.readUInt32LE(pid),
      executable: commTexts.get(words, value, comm),
      queue: value.readUInt32LE(queue),
      queueLimit: value.readUInt32LE(limit),
      drops: value.readUInt32LE(drops),
    };
  };
}
