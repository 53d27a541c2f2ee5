/**
 * The mesh as far as it has been told: what each response changes, pushed to the shelf. Methods are called one after the
 * other; each is done when the shelf says what the mesh says.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Shelf } from '../../directory.ts';
import { MultiMap } from '../../multi-map.ts';
import type { Breather } from '../../slices.ts';
import { EndpointTable } from './endpoint-table.ts';
import type { Assignment, Cluster, Endpoint, Listener, RouteConfiguration } from './resources.ts';
import { ServiceTable } from './service-table.ts';

export class MeshModel {
  readonly #endpoints: EndpointTable;
  readonly #services: ServiceTable;
  /** Those that a client dials. */
  #clusters: ReadonlyMap<string, Cluster> = new Map();
  #listeners: ReadonlyMap<string, Listener> = new Map();
  readonly #clustersByEdsName = new MultiMap<string, Cluster>();
  readonly #assignments = new Map<string, readonly Endpoint[]>();
  readonly #routes = new Map<string, RouteConfiguration>();
  #routeNames: ReadonlySet<string> = new Set();

  constructor(shelf: Shelf) {
    this.#endpoints = new EndpointTable(shelf);
    this.#services = new ServiceTable(shelf);
  }

  get clusters(): ReadonlyMap<string, Cluster> {
    return this.#clusters;
  }

  get listeners(): ReadonlyMap<string, Listener> {
    return this.#listeners;
  }

  /** The assignments that the clusters have their endpoints from. */
  get assignmentNames(): string[] {
    return [...this.#clustersByEdsName.keys()];
  }

  /** The route configurations that the listeners go by. */
  get routeNames(): string[] {
    return [...this.#routeNames];
  }

  /** How many of these have not been told yet. */
  get untoldAssignments(): number {
    return this.assignmentNames.filter((name) => !this.#assignments.has(name)).length;
  }

  get untoldRoutes(): number {
    return this.routeNames.filter((name) => !this.#routes.has(name)).length;
  }

  /** All clusters of the mesh; what is not among them is gone. */
  async setClusters(clusters: ReadonlyMap<string, Cluster>, breathe: Breather): Promise<void> {
    const before = this.#clusters;
    const dialled = new Map([...clusters].filter(([, { service }]) => service !== undefined));
    this.#clusters = dialled;
    await this.#indexByEdsName(before, dialled, breathe);
    for (const name of before.keys()) if (!dialled.has(name)) await this.#endpoints.delete(name, breathe);
    for (const cluster of dialled.values()) {
      if (!isDeepStrictEqual(before.get(cluster.name), cluster)) {
        const assigned = cluster.edsName === undefined ? cluster.endpoints : this.#assignments.get(cluster.edsName);
        await this.#endpoints.put(cluster, assigned ?? [], breathe);
      }
      await breathe();
    }
    await this.#tell(true, breathe);
  }

  /** Some assignments; the others stay as they are. */
  async setAssignments(assignments: Iterable<Assignment>, breathe: Breather): Promise<void> {
    for (const { name, endpoints } of assignments) {
      if (!this.#clustersByEdsName.has(name)) continue;
      this.#assignments.set(name, endpoints);
      for (const cluster of this.#clustersByEdsName.get(name)) await this.#endpoints.put(cluster, endpoints, breathe);
    }
    await this.#tell(false, breathe);
  }

  /** All listeners of the mesh; what is not among them is gone. */
  async setListeners(listeners: ReadonlyMap<string, Listener>, breathe: Breather): Promise<void> {
    this.#listeners = listeners;
    const names = new Set<string>();
    for (const { chains } of listeners.values()) {
      for (const { routeNames } of chains) for (const name of routeNames) names.add(name);
      await breathe();
    }
    this.#routeNames = names;
    for (const name of this.#routes.keys()) if (!names.has(name)) this.#routes.delete(name);
    await this.#tell(true, breathe);
  }

  /** Some route configurations; the others stay as they are. */
  async setRoutes(routes: Iterable<RouteConfiguration>, breathe: Breather): Promise<void> {
    for (const route of routes) if (this.#routeNames.has(route.name)) this.#routes.set(route.name, route);
    await this.#tell(true, breathe);
  }

  async #indexByEdsName(
    before: ReadonlyMap<string, Cluster>,
    after: ReadonlyMap<string, Cluster>,
    breathe: Breather,
  ): Promise<void> {
    for (const cluster of before.values()) {
      if (cluster.edsName !== undefined) this.#clustersByEdsName.delete(cluster.edsName, cluster);
      await breathe();
    }
    for (const cluster of after.values()) {
      if (cluster.edsName !== undefined) this.#clustersByEdsName.add(cluster.edsName, cluster);
      await breathe();
    }
    for (const name of this.#assignments.keys()) {
      if (!this.#clustersByEdsName.has(name)) this.#assignments.delete(name);
    }
  }

  /** Services before the workloads behind them; again, where a dialled address has become a workload's or is none any more. */
  async #tell(servicesChanged: boolean, breathe: Breather): Promise<void> {
    if (servicesChanged) await this.#rebuildServices(breathe);
    const turned = await this.#endpoints.flush(breathe);
    for (const address of turned) {
      if (this.#services.isDialled(address)) return this.#rebuildServices(breathe);
      await breathe();
    }
  }

  #rebuildServices(breathe: Breather): Promise<void> {
    const configuration = { clusters: this.#clusters, listeners: this.#listeners, routes: this.#routes };
    return this.#services.rebuild(configuration, (address) => this.#endpoints.names(address), breathe);
  }
}
