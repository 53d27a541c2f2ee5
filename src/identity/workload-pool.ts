/**
 * One object per naming: two objects of the same fields are the same workload to every label and log line, so they are
 * the same JavaScript object here. That makes "has the answer changed" a comparison of pointers, and gives a workload
 * one life however many sources, cgroups or connections hold it: it is gone (`goneSinceMs`) while nobody does.
 */
import type { Workload } from './types.ts';

/** The naming part of a workload: every field but its life. */
export type WorkloadFields = Omit<Workload, 'goneSinceMs'>;

/** Keys in the order of the interning key; the compiler checks that none is missing. */
const FIELD_ORDER: { readonly [K in keyof WorkloadFields]: true } = {
  name: true,
  namespace: true,
  podName: true,
  podUid: true,
  containerId: true,
  canonicalService: true,
  canonicalRevision: true,
  principal: true,
  cluster: true,
  region: true,
  zone: true,
  node: true,
};
export const WORKLOAD_FIELDS = Object.keys(FIELD_ORDER) as readonly (keyof WorkloadFields)[];

/** A workload with a name and nothing else known. */
export const UNNAMED_FIELDS: Omit<WorkloadFields, 'name'> = {
  namespace: undefined,
  podName: undefined,
  podUid: undefined,
  containerId: undefined,
  canonicalService: undefined,
  canonicalRevision: undefined,
  principal: undefined,
  cluster: undefined,
  region: undefined,
  zone: undefined,
  node: undefined,
};

export class WorkloadPool {
  readonly #now: () => number;
  readonly #byNaming = new Map<string, Workload>();
  readonly #holders = new Map<Workload, number>();

  /** `now`: wall-clock milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  get size(): number {
    return this.#byNaming.size;
  }

  /** The workload of that naming. A new one is gone until somebody holds it. Empty strings count as unknown. */
  intern(fields: WorkloadFields): Workload {
    const key = namingKey(fields);
    const known = this.#byNaming.get(key);
    if (known) return known;
    const workload = createWorkload(fields, this.#now());
    this.#byNaming.set(key, workload);
    return workload;
  }

  /** Somebody says that it lives: a source's object, a cgroup, an open connection of a program. */
  hold(workload: Workload, count = 1): void {
    this.#holders.set(workload, (this.#holders.get(workload) ?? 0) + count);
    workload.goneSinceMs = undefined;
  }

  release(workload: Workload, count = 1): void {
    const left = (this.#holders.get(workload) ?? 0) - count;
    if (left > 0) {
      this.#holders.set(workload, left);
      return;
    }
    this.#holders.delete(workload);
    workload.goneSinceMs = this.#now();
  }

  /** Forgets what has been gone for `keepMs`: who still refers to such an object may keep it, a later one is another. */
  prune(keepMs: number): void {
    const limit = this.#now() - keepMs;
    for (const [key, workload] of this.#byNaming) {
      if (workload.goneSinceMs !== undefined && workload.goneSinceMs <= limit) this.#byNaming.delete(key);
    }
  }
}

/** Field by field: V8 gives each object that is spread a hidden class of its own, which is four times its size. */
function createWorkload(fields: WorkloadFields, goneSinceMs: number): Workload {
  return {
    name: fields.name,
    namespace: fields.namespace,
    podName: fields.podName,
    podUid: fields.podUid,
    containerId: fields.containerId,
    canonicalService: fields.canonicalService,
    canonicalRevision: fields.canonicalRevision,
    principal: fields.principal,
    cluster: fields.cluster,
    region: fields.region,
    zone: fields.zone,
    node: fields.node,
    goneSinceMs,
  };
}

/** Values are attacker-controlled text (pod labels): JSON keeps them apart whatever they contain. */
function namingKey(fields: WorkloadFields): string {
  return JSON.stringify(WORKLOAD_FIELDS.map((field) => fields[field] ?? null));
}
