/** In words: whether conntrack can be asked here, why not, and what to do. */
import { systemClock } from '../clock.ts';
import { Conntrack } from './conntrack.ts';
import { type ConntrackKernel, conntrackKernel } from './kernel.ts';
import type { Flow } from './messages.ts';

export interface Obstacle {
  readonly detail: string;
  /** Nothing is wrong: this machine has no use for it. */
  readonly harmless?: true;
  readonly mend?: string;
}

const NO_MODULE: Obstacle = {
  detail: 'the kernel does not tell of the connections that it tracks (nf_conntrack_netlink is missing)',
  mend: 'load the kernel module nf_conntrack_netlink',
};

const OBSTACLES: Readonly<Record<string, Obstacle>> = {
  ABSENT: { detail: 'this machine tracks no connections (nf_conntrack is not loaded)', harmless: true },
  SILENT: { detail: 'the kernel does not answer' },
  EPERM: { detail: 'CAP_NET_ADMIN is missing', mend: 'grant CAP_NET_ADMIN' },
  EINVAL: NO_MODULE,
  ENOTSUP: NO_MODULE,
  EPROTONOSUPPORT: NO_MODULE,
};

/** `reason`: as Conntrack gives it. */
export const obstacle = (reason: string): Obstacle => OBSTACLES[reason] ?? { detail: `the kernel says ${reason}` };

/** Nobody's connection: whoever may ask is told that there is none. */
const NOBODYS: Flow = { localAddress: '127.0.0.1', localPort: 1, remoteAddress: '127.0.0.1', remotePort: 1 };

/** What stands in the way of asking on this machine; undefined if nothing does. */
export function findObstacle(kernel: ConntrackKernel = conntrackKernel): Obstacle | undefined {
  let found: Obstacle | undefined;
  const conntrack = new Conntrack({
    kernel,
    clock: systemClock,
    onUnavailable: (reason) => {
      found = obstacle(reason);
    },
  });
  conntrack.ask([NOBODYS]);
  conntrack.close();
  return found;
}
