/**
 * The services of the mesh: who they are and their ports from the clusters; their virtual addresses from what listens on
 * them (LDS), and from the virtual hosts of HTTP listeners that take any address (RDS), followed to the cluster that the
 * connection goes to. Made whole on each change, told to the shelf as far as it differs.
 */

import { fullLength } from '../../../semconv/address.ts';
import type { Shelf } from '../../directory.ts';
import type { ServiceKey, ServiceObject, Vip } from '../../objects.ts';
import type { Breather } from '../../slices.ts';
import type { Service } from '../../types.ts';
import type { Cluster, Listener, Range, RouteConfiguration, VirtualHost } from './resources.ts';

export interface MeshConfiguration {
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly listeners: ReadonlyMap<string, Listener>;
  readonly routes: ReadonlyMap<string, RouteConfiguration>;
}

interface Draft {
  readonly service: Service;
  readonly ports: Map<number, number>;
  readonly vips: Map<string, Range>;
}

/** What may answer at one dialled address of one listener. */
interface Answers {
  readonly clusters: Set<string>;
  /** Host names that the configuration gives them: they decide where clusters of several services answer. */
  readonly hosts: Set<string>;
}

export class ServiceTable {
  readonly #shelf: Shelf;
  #pushed: ReadonlySet<ServiceKey> = new Set();
  /** Single addresses that are dialled, whether or not they count as virtual. */
  #dialled: ReadonlySet<string> = new Set();

  constructor(shelf: Shelf) {
    this.#shelf = shelf;
  }

  /** Whether an address is dialled by the configuration: who holds it decides whether it is virtual. */
  isDialled(address: string): boolean {
    return this.#dialled.has(address);
  }

  /** `isWorkload`: true for the address of a pod. A listener on it (headless services) makes no virtual address of it. */
  async rebuild(
    configuration: MeshConfiguration,
    isWorkload: (address: string) => boolean,
    breathe: Breather,
  ): Promise<void> {
    const drafts = await draftServices(configuration.clusters, breathe);
    const dialled = new Set<string>();
    for (const { ranges, answers } of dialledRanges(configuration)) {
      const key = chosenService(answers, configuration.clusters);
      for (const range of key === undefined ? [] : ranges) {
        const single = range.length === fullLength(range.address);
        if (single) dialled.add(range.address);
        if (single && isWorkload(range.address)) continue;
        drafts.get(key!)!.vips.set(`${range.address}/${range.length}`, range);
      }
      await breathe();
    }
    this.#dialled = dialled;
    for (const key of this.#pushed) {
      if (!drafts.has(key)) this.#shelf.removeService(key);
      await breathe();
    }
    for (const [key, draft] of drafts) {
      this.#shelf.upsertService(this.#object(key, draft));
      await breathe();
    }
    this.#pushed = new Set(drafts.keys());
  }

  #object(key: ServiceKey, { service, ports, vips }: Draft): ServiceObject {
    const { network } = this.#shelf;
    // In one order, whatever the order of listeners: an equal object is no change.
    const sorted = [...vips].sort(([a], [b]) => (a < b ? -1 : 1));
    return { key, service, ports, canonical: false, vips: sorted.map(([, range]): Vip => ({ network, ...range })) };
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

function* dialledRanges(configuration: MeshConfiguration): Iterable<{ ranges: readonly Range[]; answers: Answers }> {
  for (const listener of configuration.listeners.values()) yield* rangesOfListener(listener, configuration.routes);
}

function* rangesOfListener(
  { addresses, chains }: Listener,
  routes: MeshConfiguration['routes'],
): Iterable<{ ranges: readonly Range[]; answers: Answers }> {
  // Chains of one listener that are for the same addresses differ in what they find in the connection's first bytes.
  const found = new Map<string, { ranges: readonly Range[]; answers: Answers }>();
  const bound = addresses.map((address): Range => ({ address, length: fullLength(address) }));
  for (const chain of chains) {
    const ranges = chain.ranges.length > 0 ? chain.ranges : bound;
    const named = chain.routeNames.flatMap((name) => routes.get(name) ?? []);
    const hosts = [...chain.routes, ...named.flatMap((route) => route.hosts)];
    for (const range of ranges) {
      const key = `${range.address}/${range.length}`;
      const { answers } = found.get(key) ?? { answers: { clusters: new Set<string>(), hosts: new Set<string>() } };
      found.set(key, { ranges: [range], answers });
      for (const cluster of chain.clusters) answers.clusters.add(cluster);
      for (const name of chain.routeNames) answers.hosts.add(withoutPort(name));
      for (const host of hostsFor(range, hosts)) addHost(answers, host);
    }
    if (ranges.length === 0) yield* hosts.map(rangesOfHost);
  }
  yield* found.values();
}

/** A virtual host of a listener that takes any address: its domains that are addresses are dialled. */
function rangesOfHost(host: VirtualHost): { ranges: readonly Range[]; answers: Answers } {
  const answers: Answers = { clusters: new Set(), hosts: new Set() };
  addHost(answers, host);
  return { ranges: host.addresses.map((address) => ({ address, length: fullLength(address) })), answers };
}

/** Which virtual hosts a client may mean that dials the address: those with its name, else those that take any. */
function hostsFor({ address }: Range, hosts: readonly VirtualHost[]): readonly VirtualHost[] {
  const exact = hosts.filter((host) => host.addresses.includes(address));
  return exact.length > 0 ? exact : hosts.filter((host) => host.any);
}

function addHost(answers: Answers, { name, clusters }: VirtualHost): void {
  answers.hosts.add(withoutPort(name));
  for (const cluster of clusters) answers.clusters.add(cluster);
}

/** Istio names virtual hosts, and the routes of a service's own listener, `<FQDN>:<port>`. */
const withoutPort = (name: string): string => name.replace(/:\d+$/, '');

/** The service that the clusters are for. Of several, the one that the configuration names; else nobody can tell. */
function chosenService(answers: Answers, clusters: MeshConfiguration['clusters']): ServiceKey | undefined {
  const hostnames = new Map<ServiceKey, string>();
  for (const name of answers.clusters) {
    const use = clusters.get(name)?.service;
    if (use) hostnames.set(use.key, use.service.hostname);
  }
  let keys = [...hostnames.keys()];
  if (keys.length > 1) keys = keys.filter((key) => answers.hosts.has(hostnames.get(key)!));
  return keys.length === 1 ? keys[0] : undefined;
}
