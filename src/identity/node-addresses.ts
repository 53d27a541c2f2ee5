/** Which addresses are on this node: loopback, the interfaces of the agent's namespace, and every local end seen. */
import { networkInterfaces } from 'node:os';
import { type Address, addressOf, canonicalAddress, isLoopback } from '../semconv/address.ts';
import type { Clock } from './clock.ts';

/** How old the list of interfaces may be when an address is not found in it. */
const REFRESH_MS = 1_000;

export interface NodeAddresses {
  has(address: Address): boolean;
}

export function createNodeAddresses(clock: Clock, interfaces: () => Iterable<Address> = ownAddresses): NodeAddresses {
  let own = new Set<Address>();
  let readMs = Number.NEGATIVE_INFINITY;
  return {
    has(address) {
      if (isLoopback(address) || own.has(address)) return true;
      if (clock.now() - readMs < REFRESH_MS) return false;
      readMs = clock.now();
      own = new Set(interfaces());
      return own.has(address);
    },
  };
}

function* ownAddresses(): Iterable<Address> {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address } of addresses ?? []) {
      const canonical = canonicalAddress(address);
      if (canonical !== undefined) yield addressOf(canonical);
    }
  }
}
