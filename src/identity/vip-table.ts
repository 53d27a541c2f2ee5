/** The virtual addresses of one network: which services claim an address, or a range that covers it. */
import { fullLength, maskAddress } from '../semconv/address.ts';
import { MultiMap } from './multi-map.ts';
import type { ServiceObject, Vip } from './objects.ts';

interface Claim {
  readonly service: ServiceObject;
  /** undefined: whatever the port. */
  readonly port: number | undefined;
}

export class VipTable {
  /** By prefix length and the first address of the range: a single address is a range of the full length. */
  readonly #claims = new Map<number, MultiMap<string, Claim>>();
  /** Those in use, longest first. */
  #lengths: readonly number[] = [];

  get isEmpty(): boolean {
    return this.#claims.size === 0;
  }

  add({ address, length, port }: Vip, service: ServiceObject): void {
    const claims = this.#claims.get(length) ?? new MultiMap();
    claims.add(address, { service, port });
    this.#claims.set(length, claims);
    this.#sortLengths();
  }

  /** Deletes all that the service claims there, at whatever port. */
  delete({ address, length }: Vip, service: ServiceObject): void {
    const claims = this.#claims.get(length);
    if (!claims) return;
    for (const claim of claims.get(address)) if (claim.service === service) claims.delete(address, claim);
    if (claims.size === 0) this.#claims.delete(length);
    this.#sortLengths();
  }

  /** The service that claims exactly this address, at this port if one is given. Of several: see `prefers`. */
  exact(address: string, clientNamespace: string | undefined, port: number | undefined): ServiceObject | undefined {
    return this.#best(address, fullLength(address), clientNamespace, port);
  }

  /** The service with the longest range that covers this address, itself no single address; of several as `exact`. */
  covering(address: string, clientNamespace: string | undefined, port: number | undefined): ServiceObject | undefined {
    for (const length of this.#lengths) {
      if (length >= fullLength(address)) continue;
      const best = this.#best(maskAddress(address, length), length, clientNamespace, port);
      if (best) return best;
    }
    return undefined;
  }

  #best(
    address: string,
    length: number,
    clientNamespace: string | undefined,
    port: number | undefined,
  ): ServiceObject | undefined {
    let best: ServiceObject | undefined;
    for (const claim of this.#claims.get(length)?.get(address) ?? []) {
      if (claim.port !== undefined && port !== undefined && claim.port !== port) continue;
      if (best === undefined || prefers(clientNamespace, claim.service, best)) best = claim.service;
    }
    return best;
  }

  #sortLengths(): void {
    if (this.#lengths.length !== this.#claims.size) this.#lengths = [...this.#claims.keys()].sort((a, b) => b - a);
  }
}

/** The client's namespace first, then `canonical`, then the lowest key. */
function prefers(clientNamespace: string | undefined, one: ServiceObject, other: ServiceObject): boolean {
  const rank = ({ service, canonical }: ServiceObject) =>
    service.namespace !== undefined && service.namespace === clientNamespace ? 0 : canonical ? 1 : 2;
  const difference = rank(one) - rank(other);
  return difference === 0 ? one.key < other.key : difference < 0;
}
