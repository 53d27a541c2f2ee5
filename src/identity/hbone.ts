/**
 * What a connection to port 15008 proves. Nodes of an ambient mesh carry the traffic of pods through HBONE tunnels
 * (HTTP/2 CONNECT in mutual TLS) on that port, and nothing else listens there in a workload that speaks HBONE. A socket
 * shows no more of a tunnel than its two ends: what is asked for inside it (`dst.hbone_addr`) stays unknown.
 */

import type { Pair } from '../receiver/types.ts';
import type { Holder } from './directory.ts';
import type { Peers } from './types.ts';

/** ztunnel's inbound port (Istio: "Ports used by Istio"). */
const HBONE_PORT = 15_008;

/** `mutual_tls` only where both ends are workloads of the mesh that speak HBONE, and the port is theirs for it. */
export function securityPolicy(
  pair: Pick<Pair, 'servicePort'>,
  one: Holder | undefined,
  other: Holder | undefined,
): Peers['securityPolicy'] {
  const tunnel = mayBeTunnel(pair) && one?.object.hbone === true && other?.object.hbone === true;
  return tunnel ? 'mutual_tls' : 'unknown';
}

/** Whether a connection to that port may be a tunnel, whoever is at its ends. */
export const mayBeTunnel = ({ servicePort }: Pick<Pair, 'servicePort'>): boolean => servicePort === HBONE_PORT;

/**
 * Whether the socket is one end of that workload's tunnels. The node's proxy makes it, in its own cgroup but with the
 * address of the workload for which it acts: there the address tells more than the cgroup.
 */
export function actsFor(pair: Pick<Pair, 'servicePort'>, holder: Holder | undefined): boolean {
  return mayBeTunnel(pair) && holder?.object.hbone === true;
}
