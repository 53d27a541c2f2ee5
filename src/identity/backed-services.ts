/**
 * The services that a workload backs. There is one for all workloads that back the same, each of which leads there: what
 * was found is remembered for all of them, and a new pair finds it without hashing: a list, mostly of one, that is gone
 * through. Maps would be some more places in memory to look at, which are seldom in the processor's caches.
 */
import type { PortMap, ServiceKey, ServiceObject, WorkloadObject } from './objects.ts';
import type { Service } from './types.ts';

const byKey = (a: ServiceObject, b: ServiceObject): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);

/** Lowest FQDN first, then lowest namespace: the same answer at both ends and on every node. */
const byHostname = (a: ServiceObject, b: ServiceObject): number =>
  a.service.hostname < b.service.hostname ? -1 : a.service.hostname > b.service.hostname ? 1 : byKey(a, b);

/**
 * Of several before one port those with a virtual address come first: whose client dials one, he has named it by that,
 * and a headless twin (`db-headless` beside `db`) must not make another edge of it at the server.
 */
const byDialling = (a: ServiceObject, b: ServiceObject): number =>
  Number(a.vips.length === 0) - Number(b.vips.length === 0) || byHostname(a, b);

/** The services of the same shelf. */
interface Services {
  get(key: ServiceKey): ServiceObject | undefined;
  /** Another number after each change of a service. */
  readonly version: number;
}

interface Found {
  readonly port: number;
  readonly service: Service;
  readonly next: Found | undefined;
}

export class BackedServices {
  readonly #services: Services;
  readonly #backed: WorkloadObject['services'];
  #version = 0;
  /** What was found in that version. Not that there is none: whoever tries all ports would fill it. */
  #found: Found | undefined;

  constructor(services: Services, backed: WorkloadObject['services']) {
    this.#services = services;
    this.#backed = backed;
  }

  /** The one whose target port is `port`: one with a virtual address before others, then lowest FQDN. */
  byTargetPort(port: number): Service | undefined {
    if (this.#version !== this.#services.version) {
      this.#version = this.#services.version;
      this.#found = undefined;
    }
    for (let found = this.#found; found; found = found.next) if (found.port === port) return found.service;
    const service = this.#find(port)?.service;
    if (service) this.#found = { port, service, next: this.#found };
    return service;
  }

  #find(port: number): ServiceObject | undefined {
    let best: ServiceObject | undefined;
    for (const [key, own] of this.#backed) {
      const service = this.#services.get(key);
      if (!service || !serves(service, own, port)) continue;
      if (!best || byDialling(service, best) < 0) best = service;
    }
    return best;
  }
}

/** The port on which a workload serves a service port; 0 if it does not. `own`: the ports it has for that service. */
export function target(service: ServiceObject, own: PortMap | undefined, servicePort: number): number {
  return service.ports.get(servicePort) || own?.get(servicePort) || 0;
}

/** Whether `port` is the target of one of the service's ports. Never 0: a named port that this workload lacks is none. */
function serves(service: ServiceObject, own: PortMap, port: number): boolean {
  if (port === 0) return false;
  for (const servicePort of service.ports.keys()) if (target(service, own, servicePort) === port) return true;
  for (const servicePort of own.keys()) if (target(service, own, servicePort) === port) return true;
  return false;
}
