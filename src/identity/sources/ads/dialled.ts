/**
 * What a client may dial, by the listeners: which addresses at which port, and which service answers there. A TCP
 * connection is followed through the listener's filter chain, an HTTP one through the virtual host that has the address
 * among its domains (RDS), to the cluster that it goes to.
 */
import { fullLength } from '../../../semconv/address.ts';
import type { ServiceKey } from '../../objects.ts';
import type { Cluster, FilterChain, Listener, Range, RouteConfiguration, VirtualHost } from './resources.ts';

export interface MeshConfiguration {
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly listeners: ReadonlyMap<string, Listener>;
  readonly routes: ReadonlyMap<string, RouteConfiguration>;
}

/** One service that answers at one address, or range of addresses, and port. */
export interface Dialled {
  readonly range: Range;
  readonly port: number;
  readonly key: ServiceKey;
  /** The address is the backend's own: the connection goes on to it. */
  readonly original: boolean;
}

/** What may answer at one address of one listener. */
interface Answers {
  readonly clusters: Set<string>;
  /** Host names that the configuration gives them: they decide where clusters of several services answer. */
  readonly hosts: Set<string>;
}

export function* dialledRanges({ clusters, listeners, routes }: MeshConfiguration): Iterable<Dialled> {
  for (const listener of listeners.values()) {
    for (const [range, answers] of rangesOf(listener, routes)) {
      const chosen = chosenService(answers, clusters);
      if (chosen) yield { ...chosen, range, port: listener.port };
    }
  }
}

function* rangesOf(listener: Listener, routes: MeshConfiguration['routes']): Iterable<[Range, Answers]> {
  // Chains of one listener for the same addresses differ in what they find in the connection's first bytes.
  const found = new Map<string, [Range, Answers]>();
  const bound = listener.addresses.map(single);
  for (const chain of listener.chains) {
    const hosts = hostsOf(chain, routes);
    const ranges = chain.ranges.length > 0 ? chain.ranges : bound;
    for (const range of ranges) {
      const key = `${range.address}/${range.length}`;
      const [, answers] = found.get(key) ?? [range, noAnswers()];
      found.set(key, [range, answers]);
      for (const cluster of chain.clusters) answers.clusters.add(cluster);
      for (const name of chain.routeNames) answers.hosts.add(withoutPort(name));
      for (const host of hostsFor(range, hosts)) addHost(answers, host);
    }
    if (ranges.length === 0) yield* rangesOfHosts(hosts);
  }
  yield* found.values();
}

/** Of a listener that takes any address: what virtual hosts have among their domains. */
function* rangesOfHosts(hosts: readonly VirtualHost[]): Iterable<[Range, Answers]> {
  for (const host of hosts) {
    const answers = noAnswers();
    addHost(answers, host);
    for (const address of host.addresses) yield [single(address), answers];
  }
}

function hostsOf({ routes: inline, routeNames }: FilterChain, routes: MeshConfiguration['routes']): VirtualHost[] {
  return [...inline, ...routeNames.flatMap((name) => routes.get(name)?.hosts ?? [])];
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

const single = (address: string): Range => ({ address, length: fullLength(address) });

const noAnswers = (): Answers => ({ clusters: new Set(), hosts: new Set() });

/** The service that the clusters are for. Of several, the one that the configuration names; else nobody can tell. */
function chosenService(
  answers: Answers,
  clusters: MeshConfiguration['clusters'],
): Pick<Dialled, 'key' | 'original'> | undefined {
  const found = new Map<ServiceKey, Cluster>();
  for (const name of answers.clusters) {
    const cluster = clusters.get(name);
    if (cluster?.service) found.set(cluster.service.key, cluster);
  }
  let candidates = [...found];
  if (candidates.length > 1) {
    candidates = candidates.filter(([, { service }]) => answers.hosts.has(service!.service.hostname));
  }
  const [only, ...others] = candidates;
  return only && others.length === 0 ? { key: only[0], original: only[1].originalDestination } : undefined;
}
