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
    const old = this.#byUid.get(object.uid);
    if (old && isDeepStrictEqual(old, object)) return;
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

/** The object that has a name now: one that came after it under another uid is not taken away with it. */
export class ByName<T extends Trimmed> {
  readonly #byName = new Map<string, T>();

  get(name: string): T | undefined {
    return this.#byName.get(name);
  }

  /** Whether the holder of the name is another object, or another version of it, now. */
  change(name: string, old: T | undefined, now: T | undefined): boolean {
    if (now) this.#byName.set(name, now);
    else if (this.#byName.get(name) === old) this.#byName.delete(name);
    else return false;
    return true;
  }
}
