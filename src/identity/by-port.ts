/**
 * A few things by port, mostly one: a list that is gone through. A Map would be three more places in memory to look at
 * for each of thousands of services, and those are seldom in the processor's caches.
 */
interface Item<V> {
  readonly port: number;
  readonly value: V;
  readonly next: Item<V> | undefined;
}

export class ByPort<V> {
  #first: Item<V> | undefined;

  get(port: number): V | undefined {
    for (let item = this.#first; item; item = item.next) if (item.port === port) return item.value;
    return undefined;
  }

  /** For a port that has none. */
  add(port: number, value: V): void {
    this.#first = { port, value, next: this.#first };
  }

  /** Forgets all; returns what there was. */
  take(): readonly V[] {
    const values: V[] = [];
    for (let item = this.#first; item; item = item.next) values.push(item.value);
    this.#first = undefined;
    return values;
  }
}
