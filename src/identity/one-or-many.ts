/** Several values of which there is mostly one: a single one stands for itself, and no set is spent on it. */
export type OneOrMany<V extends object> = V | Set<V> | undefined;

export function withValue<V extends object>(held: OneOrMany<V>, value: V): OneOrMany<V> {
  if (held === undefined) return value;
  if (held instanceof Set) return held.add(value);
  return held === value ? held : new Set([held, value]);
}

/** undefined if nothing is left. */
export function withoutValue<V extends object>(held: OneOrMany<V>, value: V): OneOrMany<V> {
  if (!(held instanceof Set)) return held === value ? undefined : held;
  held.delete(value);
  return held.size > 0 ? held : undefined;
}

/** Values may be taken out while they are looked at. */
export function valuesOf<V extends object>(held: OneOrMany<V>): Iterable<V> {
  if (held === undefined) return [];
  return held instanceof Set ? held : [held];
}
