/** A service as the directory holds it: a new one for each version of the object. */
import type { ServiceObject } from './objects.ts';
import type { Service, Workload } from './types.ts';

/** Who serves one port of a service. */
export interface Backing {
  readonly port: number;
  /**
   * As far as all endpoints agree: fields in which they differ (pod, zone) are unknown. undefined if they are several
   * workloads, or none.
   */
  readonly workload: Workload | undefined;
  /** There is not just one endpoint: each connection may meet another. */
  readonly varies: boolean;
  /** Of another port. */
  readonly next: Backing | undefined;
}

export class HeldService {
  readonly object: ServiceObject;
  readonly service: Service;
  /** What was found of its ports, as a list; dropped when an endpoint changes. As with target ports, not that there is nobody. */
  backings: Backing | undefined;

  constructor(object: ServiceObject) {
    this.object = object;
    this.service = object.service;
  }
}
