/** The virtual addresses of one network: which services claim an address, or a range that covers it. */
import { type Address, addressOf, addressText, fullLength, maskAddress } from '../semconv/address.ts';
import type { HeldService } from './held-service.ts';
import { MultiMap } from './multi-map.ts';
import type { Vip } from './objects.ts';
import type { OneOrMany } from './one-or-many.ts';

interface Claim {
  readonly service: HeldService;
  /** undefined: whatever the port. */
  readonly port: number | undefined;
}

export class VipTable {
  /** Of single addresses. */
  readonly #single = new MultiMap<Address, Claim>();
  /** Of ranges: by prefix length and the first address. */
  readonly #ranges = new Map<number, MultiMap<Address, Claim>>();
  /** Those in use, longest first. */
  #lengths: readonly number[] = [];

  get isEmpty(): boolean {
    return this.#single.size === 0 && this.#ranges.size === 0;
  }

  add({ address, length, port }: Vip, service: HeldService): void {
    this.#claimsOf(address, length).add(addressOf(address), { service, port });
  }

  /** Deletes all that the service claims there, at whatever port. */
  delete({ address, length }: Vip, service: HeldService): void {
    const claims = this.#claimsOf(address, length);
    const first = addressOf(address);
    for (const claim of claims.get(first)) if (claim.service === service) claims.delete(first, claim);
    if (claims !== this.#single && claims.size === 0) {
      this.#ranges.delete(length);
      this.#sortLengths();
    }
  }

  /** The service that claims exactly this address, at this port if one is given. Of several: see `prefers`. */
  exact(address: Address, clientNamespace: string | undefined, port: number | undefined): HeldService | undefined {
    return best(this.#single.held(address), clientNamespace, port);
  }

  /** The service with the longest range that covers this address, itself no single address; of several as `exact`. */
  covering(address: Address, clientNamespace: string | undefined, port: number | undefined): HeldService | undefined {
    if (this.#lengths.length === 0) return undefined;
    const text = addressText(address);
    for (const length of this.#lengths) {
      if (length >= fullLength(text)) continue;
      const claims = this.#ranges.get(length)!.held(addressOf(maskAddress(text, length)));
      const service = best(claims, clientNamespace, port);
      if (service) return service;
    }
    return undefined;
  }

  #claimsOf(address: string, length: number): MultiMap<Address, Claim> {
    if (length === fullLength(address)) return this.#single;
    let claims = this.#ranges.get(length);
    if (!claims) {
      claims = new MultiMap();
      this.#ranges.set(length, claims);
      this.#sortLengths();
    }
    return claims;
  }

  #sortLengths(): void {
    this.#lengths = [...this.#ranges.keys()].sort((a, b) => b - a);
  }
}

function best(
  claims: OneOrMany<Claim>,
  clientNamespace: string | undefined,
  port: number | undefined,
): HeldService | undefined {
  if (claims === undefined) return undefined;
  if (!(claims instanceof Set)) return isFor(claims, port) ? claims.service : undefined;
  let best: HeldService | undefined;
  for (const claim of claims) {
    if (!isFor(claim, port)) continue;
    if (best === undefined || prefers(clientNamespace, claim.service, best)) best = claim.service;
  }
  return best;
}

const isFor = (claim: Claim, port: number | undefined): boolean =>
  claim.port === undefined || port === undefined || claim.port === port;

/** The client's namespace first, then `canonical`, then the lowest key. */
function prefers(clientNamespace: string | undefined, one: HeldService, other: HeldService): boolean {
  const rank = ({ service, object: { canonical } }: HeldService) =>
    service.namespace !== undefined && service.namespace === clientNamespace ? 0 : canonical ? 1 : 2;
  const difference = rank(one) - rank(other);
  return difference === 0 ? one.object.key < other.object.key : difference < 0;
}
