/** What this machine has of conntrack: whether there is any, and the way to ask it. */
import { existsSync } from 'node:fs';
import { type NetlinkSocket, openNetlinkSocket } from './socket.ts';

export interface ConntrackKernel {
  /** Whether connections are tracked here at all. Asking where they are not would load the kernel's modules for it. */
  present(): boolean;
  /** Throws with errno's name in `code`. */
  open(): NetlinkSocket;
}

/** There once nf_conntrack is, in every network namespace. */
const COUNT = '/proc/sys/net/netfilter/nf_conntrack_count';

export const conntrackKernel: ConntrackKernel = {
  present: () => existsSync(COUNT),
  open: openNetlinkSocket,
};
