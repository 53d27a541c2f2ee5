/**
 * Which services a pod backs, and on which of its ports, from the endpoint slices: what kube-proxy sends to, with named
 * target ports as numbers and services without a selector.
 */
import { MultiMap } from '../../multi-map.ts';
import type { PortMap, ServiceKey } from '../../objects.ts';
import type { EndpointSlice, KubeService } from './trimmed.ts';

const NONE: ReadonlyMap<ServiceKey, PortMap> = new Map();

/** `namespace/name`. */
export const nameOf = ({ namespace, name }: { readonly namespace: string; readonly name: string }): string =>
  `${namespace}/${name}`;

export interface BackingParts {
  readonly service: (name: string) => KubeService | undefined;
  readonly key: (service: KubeService) => ServiceKey;
  /** What these endpoints (uids of pods, addresses) back has changed. */
  readonly concerned: (endpoints: Iterable<string>) => void;
}

export class Backing {
  readonly #parts: BackingParts;
  readonly #byService = new MultiMap<string, EndpointSlice>();
  readonly #byEndpoint = new MultiMap<string, EndpointSlice>();
  /** One map for all endpoints of a slice. */
  readonly #ports = new Map<EndpointSlice, PortMap>();
  /** What backs nothing but this slice's service. */
  readonly #services = new Map<EndpointSlice, ReadonlyMap<ServiceKey, PortMap>>();

  constructor(parts: BackingParts) {
    this.#parts = parts;
  }

  sliceChanged(old: EndpointSlice | undefined, now: EndpointSlice | undefined): void {
    if (old) {
      this.#byService.delete(serviceName(old), old);
      for (const endpoint of old.endpoints) this.#byEndpoint.delete(endpoint, old);
      this.#forget(old);
    }
    if (now) {
      this.#byService.add(serviceName(now), now);
      for (const endpoint of now.endpoints) this.#byEndpoint.add(endpoint, now);
    }
    this.#parts.concerned(
      old && now && samePorts(old, now) ? difference(old, now) : [...(old?.endpoints ?? []), ...(now?.endpoints ?? [])],
    );
  }

  /** `name`: of a service that came, went, or has other ports. */
  serviceChanged(name: string): void {
    for (const slice of this.#byService.get(name)) {
      this.#forget(slice);
      this.#parts.concerned(slice.endpoints);
    }
  }

  /** Of a pod: its uid and those addresses that are its own. Pods of one slice have one map. */
  services(endpoints: Iterable<string>): ReadonlyMap<ServiceKey, PortMap> {
    const slices = new Set<EndpointSlice>();
    for (const endpoint of endpoints) for (const slice of this.#byEndpoint.get(endpoint)) slices.add(slice);
    if (slices.size === 0) return NONE;
    const [only] = slices;
    if (slices.size > 1 || !only) return this.#joined(slices);
    const known = this.#services.get(only);
    if (known) return known;
    const services = this.#joined(slices);
    this.#services.set(only, services);
    return services;
  }

  #joined(slices: Iterable<EndpointSlice>): ReadonlyMap<ServiceKey, PortMap> {
    const services = new Map<ServiceKey, PortMap>();
    for (const slice of slices) {
      const service = this.#parts.service(serviceName(slice));
      if (!service) continue;
      const key = this.#parts.key(service);
      const ports = this.#portsOf(slice, service);
      const others = services.get(key);
      // A dual-stack pod is in a slice of each family, as a rule with the same ports.
      services.set(key, others ? new Map([...others, ...ports]) : ports);
    }
    return services;
  }

  #forget(slice: EndpointSlice): void {
    this.#ports.delete(slice);
    this.#services.delete(slice);
  }

  #portsOf(slice: EndpointSlice, service: KubeService): PortMap {
    let ports = this.#ports.get(slice);
    if (!ports) {
      ports = new Map(
        service.ports.flatMap(({ name, port }) => {
          const number = slice.ports.get(name);
          return number === undefined ? [] : [[port, number] as const];
        }),
      );
      this.#ports.set(slice, ports);
    }
    return ports;
  }
}

const serviceName = ({ namespace, service }: EndpointSlice): string => nameOf({ namespace, name: service });

const samePorts = (a: EndpointSlice, b: EndpointSlice): boolean =>
  serviceName(a) === serviceName(b) &&
  a.ports.size === b.ports.size &&
  [...a.ports].every(([name, number]) => b.ports.get(name) === number);

function difference(a: EndpointSlice, b: EndpointSlice): string[] {
  const before = new Set(a.endpoints);
  const after = new Set(b.endpoints);
  return [...a.endpoints.filter((key) => !after.has(key)), ...b.endpoints.filter((key) => !before.has(key))];
}
