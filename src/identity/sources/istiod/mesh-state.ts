/**
 * What the control plane has told, over all streams: it keeps the shelf filled, and knows which resources a new stream
 * may declare as known and which must be told again.
 */
import type { Shelf } from '../../directory.ts';
import { meshWorkload } from '../../mesh-workload.ts';
import type { ServiceKey } from '../../objects.ts';
import { createBreather } from '../../slices.ts';
import type { MeshAddress } from './address.ts';

const NO_CGROUPS: readonly bigint[] = [];

export class MeshState {
  readonly #shelf: Shelf;
  readonly #onService: ((key: ServiceKey) => void) | undefined;
  /** Name of each resource held → its version, '' where the control plane sets none. */
  readonly #versions = new Map<string, string>();
  /** Those among them that are services, by their key in the shelf. */
  readonly #services = new Map<string, ServiceKey>();
  /** Names whose last version was refused. An earlier one may be held; a new stream must not declare it as known. */
  readonly #rejected = new Set<string>();
  /** Held, not declared on this stream, not told again yet: gone, if the first response does not have it. */
  #unconfirmed = new Set<string>();

  /** `onService`: told of the services that a workload serves and that are not held. */
  constructor(shelf: Shelf, onService: ((key: ServiceKey) => void) | undefined) {
    this.#shelf = shelf;
    this.#onService = onService;
  }

  get size(): number {
    return this.#versions.size;
  }

  has(name: string): boolean {
    return this.#versions.has(name);
  }

  /** What a new stream may say that it knows. */
  *known(): IterableIterator<readonly [name: string, version: string]> {
    for (const entry of this.#versions) if (!this.#rejected.has(entry[0])) yield entry;
  }

  /** A stream begins. `declared`: its first request named all that is `known`; else nothing. */
  streamBegins(declared: boolean): void {
    const undeclared = declared ? this.#rejected : this.#versions.keys();
    this.#unconfirmed = new Set([...undeclared].filter((name) => this.#versions.has(name)));
  }

  /** The first response of a stream is there in full: what it would have had to tell and did not is gone. */
  async firstResponseEnds(): Promise<void> {
    const breathe = createBreather();
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
    if (version === '' || this.#versions.get(name) !== version || this.#rejected.has(name)) return false;
    this.#unconfirmed.delete(name);
    return true;
  }

  /** `share`: gives the one string for equal ones. */
  apply(name: string, version: string, address: MeshAddress, share: (text: string) => string): void {
    this.#versions.set(name, version);
    this.#rejected.delete(name);
    this.#unconfirmed.delete(name);
    const oldKey = this.#services.get(name);
    if (address.kind === 'workload') {
      if (oldKey !== undefined) this.#removeService(name, oldKey);
      this.#shelf.upsertWorkload(meshWorkload(address.workload, NO_CGROUPS, share));
      if (this.#onService === undefined) return;
      for (const key of address.workload.services.keys()) {
        if (this.#shelf.services.get(key) === undefined) this.#onService(key);
      }
      return;
    }
    const { service } = address;
    if (oldKey === undefined) this.#shelf.removeWorkload(name);
    else if (oldKey !== service.key) this.#shelf.removeService(oldKey);
    this.#services.set(name, service.key);
    this.#shelf.upsertService(service);
  }

  /** Its last version cannot be used: the one before, if there is one, stays. */
  reject(name: string): void {
    this.#rejected.add(name);
    this.#unconfirmed.delete(name);
  }

  /** By the resource's name: a workload's uid, a service's `namespace/hostname`; or by an alias, `network/ip`. */
  remove(name: string): void {
    this.#rejected.delete(name);
    this.#unconfirmed.delete(name);
    if (!this.#versions.delete(name)) {
      this.#removeAlias(name);
      return;
    }
    const key = this.#services.get(name);
    if (key === undefined) this.#shelf.removeWorkload(name);
    else this.#removeService(name, key);
  }

  #removeService(name: string, key: ServiceKey): void {
    this.#services.delete(name);
    this.#shelf.removeService(key);
  }

  /** Whoever is at the address is there no more. */
  #removeAlias(name: string): void {
    const slash = name.indexOf('/');
    const [network, address] = [name.slice(0, slash), name.slice(slash + 1)];
    if (slash < 0 || network !== this.#shelf.network) return;
    const workload = this.#shelf.byAddress(address, undefined);
    if (workload !== undefined) this.remove(workload.object.uid);
    const service = this.#shelf.services.byAddress(network, address, undefined);
    if (service === undefined) return;
    for (const [held, key] of this.#services) if (key === service.key) this.remove(held);
  }
}
