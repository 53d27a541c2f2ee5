/**
 * The programs on connect: what an application dials, seen before a load balancer on the socket puts a backend in its
 * place, and connects that fail before their first transition. Optional: without them those are not known.
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { findCgroup2Mount } from '../collector/cgroup-mount.ts';
import { hasCapability } from './capabilities.ts';
import { CONNECT_PROGRAMS } from './kernel.ts';
import { type Libbpf, systemError } from './libbpf.ts';
import type { Pins } from './pins.ts';

/** enum bpf_attach_type (linux/bpf.h). */
const ATTACH_TYPES: Readonly<Record<(typeof CONNECT_PROGRAMS)[number], number>> = {
  tcpledger_connect4: 10,
  tcpledger_connect6: 11,
};
/** Runs before what is attached to the control groups below, as well as before the others here (since Linux 6.15). */
const BPF_F_PREORDER = 1 << 6;
const EINVAL = 22;

export type ConnectHooksPlan =
  | { readonly possible: true; readonly cgroupRoot: string }
  | { readonly possible: false; readonly reason: string };

/** Whether this process and this machine allow them at all. They are loaded only then: loading takes privileges too. */
export function planConnectHooks(
  status = readFileSync('/proc/self/status', 'latin1'),
  mountinfo = readFileSync('/proc/self/mountinfo', 'utf8'),
): ConnectHooksPlan {
  if (!hasCapability(status, 'CAP_NET_ADMIN') && !hasCapability(status, 'CAP_SYS_ADMIN')) {
    return { possible: false, reason: 'CAP_NET_ADMIN is missing' };
  }
  const cgroupRoot = findCgroup2Mount(mountinfo);
  if (cgroupRoot === undefined) return { possible: false, reason: 'no cgroup2 file system is mounted' };
  return { possible: true, cgroupRoot };
}

export interface ConnectHooks {
  /** Takes them off, unless they are pinned. */
  detach(): void;
}

/**
 * Attaches them to the root of the hierarchy, before any other, or takes over those that an earlier agent pinned.
 * Throws the kernel's refusal, with nothing left attached.
 */
export function attachConnectHooks(
  libbpf: Libbpf,
  programFd: (name: (typeof CONNECT_PROGRAMS)[number]) => number,
  cgroupRoot: string,
  pins: Pins | undefined,
): ConnectHooks {
  const links: number[] = [];
  const detach = () => {
    for (const link of links.splice(0)) closeSync(link);
  };
  const cgroup = openSync(cgroupRoot, 'r');
  try {
    for (const name of CONNECT_PROGRAMS) {
      const pinned = pins?.linkPath(name);
      if (pinned && pins?.hasLink(name)) {
        links.push(checked(libbpf.openPinned(pinned), 'bpf_obj_get', pinned));
        continue;
      }
      let link = libbpf.attachCgroup(programFd(name), cgroup, ATTACH_TYPES[name], BPF_F_PREORDER);
      if (link === -EINVAL) link = libbpf.attachCgroup(programFd(name), cgroup, ATTACH_TYPES[name], 0);
      links.push(checked(link, 'bpf_link_create', cgroupRoot));
      if (pinned) checked(libbpf.pinFd(link, pinned), 'bpf_obj_pin', pinned);
    }
    return { detach };
  } catch (error) {
    detach();
    throw error;
  } finally {
    closeSync(cgroup);
  }
}

function checked(code: number, call: string, on: string): number {
  if (code < 0) throw systemError(call, on, -code);
  return code;
}
