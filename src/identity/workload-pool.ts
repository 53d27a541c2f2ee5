/**
 * One object per naming: two objects of the same fields are the same workload to every label and log line, so they are
 * the same JavaScript object here. That makes "has the answer changed" a comparison of pointers, and gives a workload
 * one life however many sources, cgroups or connections hold it: it is gone (`goneSinceMs`) while nobody does. A workload
 * that is gone is remembered for as long as a series, a slot or a tombstone refers to it, and no longer: kept for an hour,
 * those of a cluster that replaces a thousand pods a minute were ten megabytes.
 */
import { MultiMap } from './multi-map.ts';
import type { Workload } from './types.ts';
import { WideMap } from './wide-map.ts';

/** The naming part of a workload: every field but its life. */
export type WorkloadFields = Omit<Workload, 'goneSinceMs'>;

/** The compiler checks that none is missing. */
const FIELDS: { readonly [K in keyof WorkloadFields]: true } = {
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
export const WORKLOAD_FIELDS = Object.keys(FIELDS) as readonly (keyof WorkloadFields)[];

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
  /** By pod or, for want of one, by name: few workloads share that, and it is a string that is there already. */
  readonly #living = new MultiMap<string, Workload>(new WideMap());
  readonly #gone = new MultiMap<string, WeakRef<Workload>>();
  /** Of those that several hold, how many. One that lives and is not here has one holder. */
  readonly #shared = new Map<Workload, number>();
  #size = 0;

  /** `now`: wall-clock milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** How many live. */
  get size(): number {
    return this.#size;
  }

  /** The workload of that naming. A new one is gone until somebody holds it. Empty strings count as unknown. */
  intern(fields: WorkloadFields): Workload {
    const known = this.#find(fields);
    if (known) return known;
    const workload = create(fields, this.#now());
    this.#gone.add(bucket(fields), new WeakRef(workload));
    return workload;
  }

  /** The workload of that naming, held once more. */
  acquire(fields: WorkloadFields): Workload {
    const known = this.#find(fields);
    if (known) {
      this.hold(known);
      return known;
    }
    const workload = create(fields, undefined);
    this.#living.add(bucket(fields), workload);
    this.#size++;
    return workload;
  }

  /** Somebody says that it lives: a source's object, a cgroup, an open connection of a program. */
  hold(workload: Workload, count = 1): void {
    this.#setHolders(workload, this.#holders(workload) + count);
  }

  release(workload: Workload, count = 1): void {
    this.#setHolders(workload, this.#holders(workload) - count);
  }

  /** Drops what is left of workloads that nobody refers to any more. */
  prune(): void {
    for (const name of this.#gone.keys()) {
      for (const reference of this.#gone.get(name)) {
        if (reference.deref() === undefined) this.#gone.delete(name, reference);
      }
    }
  }

  #find(fields: WorkloadFields): Workload | undefined {
    const name = bucket(fields);
    const living = this.#living.find(name, (workload) => sameNaming(workload, fields));
    if (living) return living;
    return this.#gone.find(name, (reference) => sameNaming(reference.deref(), fields))?.deref();
  }

  #holders(workload: Workload): number {
    return this.#shared.get(workload) ?? (workload.goneSinceMs === undefined ? 1 : 0);
  }

  #setHolders(workload: Workload, count: number): void {
    if (count > 1) this.#shared.set(workload, count);
    else this.#shared.delete(workload);
    if (count > 0) this.#live(workload);
    else this.#die(workload);
  }

  #live(workload: Workload): void {
    if (workload.goneSinceMs === undefined) return;
    workload.goneSinceMs = undefined;
    const name = bucket(workload);
    const reference = this.#gone.find(name, (other) => other.deref() === workload);
    if (reference) this.#gone.delete(name, reference);
    this.#living.add(name, workload);
    this.#size++;
  }

  #die(workload: Workload): void {
    if (workload.goneSinceMs !== undefined) return;
    workload.goneSinceMs = this.#now();
    const name = bucket(workload);
    this.#living.delete(name, workload);
    this.#size--;
    this.#gone.add(name, new WeakRef(workload));
  }
}

const bucket = ({ podName, name }: WorkloadFields): string => podName ?? name;

function sameNaming(a: WorkloadFields | undefined, b: WorkloadFields): boolean {
  if (a === undefined) return false;
  for (const field of WORKLOAD_FIELDS) if (a[field] !== b[field]) return false;
  return true;
}

/** One shape for all, without room for more: there is one for each pod of a mesh. */
function create(fields: WorkloadFields, goneSinceMs: number | undefined): Workload {
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
