/**
 * What the control plane has told, over all streams: it keeps the shelf filled, and knows which resources a new stream
 * may declare as known and which must be told again. Both kinds are held under their resource's name: a workload's uid,
 * a service's key.
 */
import { addressOf, canonicalAddress } from '../../../semconv/address.ts';
import type { Shelf } from '../../directory.ts';
import { meshWorkload, type spiffeId } from '../../mesh-workload.ts';
import type { ServiceKey } from '../../objects.ts';
import { breathe } from '../../slices.ts';
import type { MeshAddress } from './address.ts';
import { KnownVersions } from './known-versions.ts';

const NO_CGROUPS: readonly number[] = [];

export class MeshState {
  readonly #shelf: Shelf;
  readonly #onService: ((key: ServiceKey) => void) | undefined;
  readonly #versions = new KnownVersions();
  /** Held, not declared on this stream, not told again yet: gone, if the first response does not have it. */
  #unconfirmed = new Set<string>();

  /** `onService`: told of the services that a workload serves and that are not held. */
  constructor(shelf: Shelf, onService: ((key: ServiceKey) => void) | undefined) {
    this.#shelf = shelf;
    this.#onService = onService;
  }

  /** Name and version of each resource that a new stream may declare as known; undefined if they are too many for it. */
  declarable(): Iterable<readonly [name: string, version: string]> | undefined {
    return this.#versions.all();
  }

  /** A stream begins: what is `declarable` was declared by its first request. */
  streamBegins(): void {
    this.#unconfirmed = new Set();
    for (const names of [this.#shelf.uids(), this.#shelf.services.keys()]) {
      for (const name of names) if (!this.#versions.has(name)) this.#unconfirmed.add(name);
    }
  }

  /** The first response of a stream is there in full: what it would have had to tell and did not is gone. */
  async firstResponseEnds(): Promise<void> {
    const gone = this.#unconfirmed;
    this.#unconfirmed = new Set();
    for (const name of gone) {
      this.remove(name);
      const pause = breathe();
      if (pause) await pause;
    }
  }

  /** Whether exactly this version is held: there is nothing to apply then. */
  confirms(name: string, version: string): boolean {
    if (version === '' || this.#versions.get(name) !== version) return false;
    this.#unconfirmed.delete(name);
    return true;
  }

  apply(name: string, version: string, address: MeshAddress, principal?: typeof spiffeId): void {
    this.#versions.set(name, version);
    this.#unconfirmed.delete(name);
    if (address.kind === 'service') {
      this.#shelf.removeWorkload(name);
      this.#shelf.upsertService(address.service);
      return;
    }
    this.#shelf.removeService(name);
    this.#shelf.upsertWorkload(meshWorkload(address.workload, NO_CGROUPS, principal));
    this.#tellServices(address.workload.services.keys());
  }

  /** Its last version cannot be used: the one before, if there is one, stays, and is not declared to a new stream. */
  reject(name: string): void {
    this.#versions.delete(name);
    this.#unconfirmed.delete(name);
  }

  /** By the resource's name: a workload's uid, a service's `namespace/hostname`; or by an alias, `network/ip`. */
  remove(name: string): void {
    this.#versions.delete(name);
    this.#unconfirmed.delete(name);
    if (this.#shelf.services.get(name) !== undefined) this.#shelf.removeService(name);
    else if (this.#shelf.workload(name) !== undefined) this.#shelf.removeWorkload(name);
    else this.#removeAlias(name);
  }

  #tellServices(keys: Iterable<ServiceKey>): void {
    if (this.#onService === undefined) return;
    for (const key of keys) if (this.#shelf.services.get(key) === undefined) this.#onService(key);
  }

  /** Whoever is at the address is there no more. */
  #removeAlias(name: string): void {
    const slash = name.indexOf('/');
    const [network, text] = [name.slice(0, slash), canonicalAddress(name.slice(slash + 1))];
    if (slash < 0 || network !== this.#shelf.network || text === undefined) return;
    const address = addressOf(text);
    const workload = this.#shelf.byAddress(address, undefined);
    if (workload !== undefined) this.remove(workload.object.uid);
    const service = this.#shelf.services.byAddress(network, address, undefined);
    if (service !== undefined) this.remove(service.object.key);
  }
}
