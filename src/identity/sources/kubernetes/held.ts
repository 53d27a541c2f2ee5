/** What is held of one resource, by uid: an object of the same name with another uid is another object. */
import { isDeepStrictEqual } from 'node:util';
import type { Store } from './reflector.ts';
import type { Trimmed } from './trimmed.ts';

/** `old` undefined: it is new. `now` undefined: it is gone. */
export type OnChange<T> = (old: T | undefined, now: T | undefined) => void;

export class Held<T extends Trimmed> implements Store<T> {
  readonly #byUid = new Map<string, T>();
  readonly #onChange: OnChange<T>;

  constructor(onChange: OnChange<T>) {
    this.#onChange = onChange;
  }

  get size(): number {
    return this.#byUid.size;
  }

  get(uid: string): T | undefined {
    return this.#byUid.get(uid);
  }

  uids(): Iterable<string> {
    return this.#byUid.keys();
  }

  /** Most updates (heartbeats, conditions) change nothing that is kept. */
  put(object: T): void {
    const known = this.#byUid.get(object.uid);
    if (known && isDeepStrictEqual(known, object)) return;
    // An object keeps its name for life: whatever comes under another one is told as another.
    const renamed = known && (known.name !== object.name || known.namespace !== object.namespace);
    if (renamed) this.remove(object.uid);
    const old = renamed ? undefined : known;
    this.#byUid.set(object.uid, object);
    this.#onChange(old, object);
  }

  remove(uid: string): void {
    const old = this.#byUid.get(uid);
    if (!old) return;
    this.#byUid.delete(uid);
    this.#onChange(old, undefined);
  }
}

/**
 * Objects by name. Two may have the same one for a moment, when the end of an earlier object is heard of later than the
 * beginning of its successor: the one that came last holds it, and after it whoever is left.
 */
export class ByName<T extends Trimmed> {
  readonly #byName = new Map<string, readonly T[]>();

  get(name: string): T | undefined {
    return this.#byName.get(name)?.at(-1);
  }

  /** Whether the name has another holder, or another version of it, now. */
  change(name: string, old: T | undefined, now: T | undefined): boolean {
    const before = this.get(name);
    const others = (this.#byName.get(name) ?? []).filter((object) => object !== old);
    const objects = now ? [...others, now] : others;
    if (objects.length > 0) this.#byName.set(name, objects);
    else this.#byName.delete(name);
    return this.get(name) !== before;
  }
}
