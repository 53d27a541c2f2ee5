/**
 * The services of the mesh: who they are and their ports by the clusters, their virtual addresses by what is dialled.
 * Made whole on each change, told to the shelf as far as it differs.
 */
import { fullLength } from '../../../semconv/address.ts';
import type { Shelf } from '../../directory.ts';
import type { ServiceKey, Vip } from '../../objects.ts';
import type { Breather } from '../../slices.ts';
import type { Service } from '../../types.ts';
import { type Dialled, dialledRanges, type MeshConfiguration } from './dialled.ts';
import type { Range } from './resources.ts';

interface Draft {
  readonly service: Service;
  readonly ports: Map<number, number>;
  readonly vips: Map<string, Vip>;
}

/** Who claims one range, at which ports. */
interface Claims {
  readonly range: Range;
  /** The address is a backend's own for one of them. */
  original: boolean;
  readonly ports: Map<ServiceKey, Set<number>>;
}

export class ServiceTable {
  readonly #shelf: Shelf;
  #pushed: ReadonlySet<ServiceKey> = new Set();
  /** What is dialled, whether or not it counts as virtual. */
  #claims: ReadonlyMap<string, Claims> = new Map();

  constructor(shelf: Shelf) {
    this.#shelf = shelf;
  }

  /** Whether the configuration has somebody dial the address: then who holds it decides whether it is virtual. */
  isDialled(address: string): boolean {
    return this.#claims.has(rangeKey({ address, length: fullLength(address) }));
  }

  /** `isWorkload`: true for the address of a pod. A listener on it (headless services) makes no virtual address of it. */
  async rebuild(
    configuration: MeshConfiguration,
    isWorkload: (address: string) => boolean,
    breathe: Breather,
  ): Promise<void> {
    const drafts = await draftServices(configuration.clusters, breathe);
    const claims = new Map<string, Claims>();
    for (const dialled of dialledRanges(configuration)) {
      claim(claims, dialled);
      await breathe();
    }
    this.#claims = claims;
    for (const { range, original, ports } of claims.values()) {
      if (range.length === fullLength(range.address) && isWorkload(range.address)) continue;
      // An address with one service is that one's whatever is dialled there, as it is in Istio's workload API.
      const byPort = original || ports.size > 1;
      for (const [key, dialled] of ports) {
        const { vips } = drafts.get(key)!;
        for (const port of byPort ? dialled : [undefined]) this.#addVip(vips, range, port);
      }
      await breathe();
    }
    await this.#push(drafts, breathe);
  }

  #addVip(vips: Draft['vips'], range: Range, port: number | undefined): void {
    const { network } = this.#shelf;
    vips.set(`${rangeKey(range)}:${port ?? ''}`, { network, ...range, ...(port === undefined ? {} : { port }) });
  }

  async #push(drafts: ReadonlyMap<ServiceKey, Draft>, breathe: Breather): Promise<void> {
    for (const key of this.#pushed) {
      if (!drafts.has(key)) this.#shelf.removeService(key);
      await breathe();
    }
    for (const [key, { service, ports, vips }] of drafts) {
      // In one order, whatever the order of listeners: an equal object is no change.
      const sorted = [...vips].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, vip]) => vip);
      this.#shelf.upsertService({ key, service, ports, vips: sorted, canonical: false });
      await breathe();
    }
    this.#pushed = new Set(drafts.keys());
  }
}

/** Target ports are the endpoints' own: 0 here, as for named ports. */
async function draftServices(
  clusters: MeshConfiguration['clusters'],
  breathe: Breather,
): Promise<Map<ServiceKey, Draft>> {
  const drafts = new Map<ServiceKey, Draft>();
  for (const { service: use } of clusters.values()) {
    if (!use) continue;
    const draft = drafts.get(use.key) ?? { service: use.service, ports: new Map(), vips: new Map() };
    drafts.set(use.key, draft);
    draft.ports.set(use.port, 0);
    await breathe();
  }
  return drafts;
}

function claim(claims: Map<string, Claims>, { range, port, key, original }: Dialled): void {
  const id = rangeKey(range);
  const found = claims.get(id) ?? { range, original: false, ports: new Map<ServiceKey, Set<number>>() };
  claims.set(id, found);
  found.original ||= original;
  found.ports.set(key, (found.ports.get(key) ?? new Set()).add(port));
}

const rangeKey = ({ address, length }: Range): string => `${address}/${length}`;
