/**
 * Subscription on demand: the addresses that lookups missed, and the services of the workloads that came of it. istiod
 * answers a subscription once, and does not tell of a pod that takes a subscribed address later, or that joins a
 * subscribed service: so what is missed again after a while is asked for again.
 */
import { type Address, addressText, isLoopback, NO_ADDRESS } from '../../../semconv/address.ts';
import type { Clock } from '../../clock.ts';

/** Lookups come in batches. */
const GATHER_MS = 10;

/** Who was not known then may be now. */
const ASK_AGAIN_MS = 10_000;

/** Subscribed to at once; the ones that nobody missed for the longest time give way. */
const MOST_NAMES = 65_536;

export interface Subscriber {
  subscribe(names: ReadonlySet<string>, again: ReadonlySet<string>): void;
  unsubscribe(names: ReadonlySet<string>): void;
}

export class WantedNames {
  readonly #network: string;
  readonly #clock: Clock;
  readonly #subscriber: () => Subscriber | undefined;
  /** Name → wall-clock ms of the last request, the oldest first. */
  readonly #askedMs = new Map<string, number>();
  #gathered = new Set<string>();
  #cancel: (() => void) | undefined;

  /** `subscriber`: the stream there is, if there is one. */
  constructor(network: string, clock: Clock, subscriber: () => Subscriber | undefined) {
    this.#network = network;
    this.#clock = clock;
    this.#subscriber = subscriber;
  }

  /** Nobody is known at this address. */
  address(address: Address): void {
    if (address !== NO_ADDRESS && !isLoopback(address)) this.#want(`${this.#network}/${addressText(address)}`);
  }

  /** A workload that is known serves it: both ends of a connection must tell the same service. */
  service(key: string): void {
    if (!this.#askedMs.has(key)) this.#want(key);
  }

  /** All of them, for the first request of a stream. */
  all(): Iterable<string> {
    return this.#askedMs.keys();
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #want(name: string): void {
    const askedMs = this.#askedMs.get(name);
    if (this.#gathered.has(name) || (askedMs !== undefined && this.#clock.now() - askedMs < ASK_AGAIN_MS)) return;
    this.#gathered.add(name);
    this.#cancel ??= this.#clock.schedule(GATHER_MS, () => this.#ask());
  }

  #ask(): void {
    this.#cancel = undefined;
    const names = this.#gathered;
    this.#gathered = new Set();
    const again = new Set([...names].filter((name) => this.#askedMs.delete(name)));
    for (const name of names) this.#askedMs.set(name, this.#clock.now());
    const subscriber = this.#subscriber();
    subscriber?.subscribe(names, again);
    this.#giveWay(subscriber);
  }

  #giveWay(subscriber: Subscriber | undefined): void {
    const gone = new Set<string>();
    for (const name of this.#askedMs.keys()) {
      if (this.#askedMs.size <= MOST_NAMES) break;
      this.#askedMs.delete(name);
      gone.add(name);
    }
    if (gone.size > 0) subscriber?.unsubscribe(gone);
  }
}
