/**
 * Keeps a store equal to one resource of the cluster: lists it in pages, then watches from the list's version on, and
 * goes on from the last version seen whenever a watch ends. A new list only where the server no longer has that version
 * (410) or what it sent cannot be understood; then what the list does not name is removed. Whatever fails, the store
 * keeps its last state.
 */
import type { Clock } from '../../clock.ts';
import type { Access } from './access.ts';
import type { ApiClient } from './api-client.ts';
import { ApiFailure, type FailureKind, refusal } from './api-failure.ts';
import { Backoff, type BackoffTimes } from './backoff.ts';
import { asRecord, asText, type JsonRecord } from './json.ts';
import { LineFrames } from './line-frames.ts';
import { ListFrames } from './list-frames.ts';
import type { Trim, Trimmed } from './trimmed.ts';

/** A resource of the API, and what is kept of its objects. */
export interface Resource<T extends Trimmed> {
  /** As RBAC has it: `pods`. */
  readonly name: string;
  /** '' for the core group. */
  readonly group: string;
  readonly path: string;
  readonly trim: Trim<T>;
}

/** What is known of a resource, by uid. */
export interface Store<T extends Trimmed> {
  readonly size: number;
  uids(): Iterable<string>;
  put(object: T): void;
  /** No-op for an unknown uid. */
  remove(uid: string): void;
}

export interface Timing {
  readonly pageSize: number;
  /** How long a list may be silent. */
  readonly listIdleMs: number;
  /** How long a watch may be silent; servers send a bookmark a minute. */
  readonly watchIdleMs: number;
  /** The server ends a watch after this long, up to twice as much by chance. */
  readonly watchSeconds: number;
  /** Beyond its own end a watch is cut off from here. */
  readonly watchGraceMs: number;
  /** A watch that ended sooner counts as a failure: a server may do so again and again. */
  readonly shortWatchMs: number;
  /** A watch that lived so long proves that all is well again. */
  readonly healthyWatchMs: number;
  readonly backoff: BackoffTimes;
}

export const TIMING: Timing = {
  pageSize: 500,
  listIdleMs: 30_000,
  watchIdleMs: 150_000,
  watchSeconds: 300,
  watchGraceMs: 30_000,
  shortWatchMs: 1_000,
  healthyWatchMs: 10_000,
  backoff: { firstMs: 800, longestMs: 30_000 },
};

/** What a watch cannot go on after. */
const NEEDS_LIST: ReadonlySet<FailureKind> = new Set(['expired', 'malformed']);

/**
 * Refused so often in a row, a watch is not allowed, and lists from time to time stand for it. Sooner it may be an API
 * server that has just begun and not read its roles yet.
 */
const REFUSALS_TO_LIST = 4;

/**
 * Errors in the midst of watches, so often in a row and none of them with an event before it, are the answer to that
 * version: an event that the server can no longer read, for one, comes again each time.
 */
const ERRORS_TO_LIST = 4;

/** An API server takes no request above 3 MiB and etcd no object above 1.5: this is for what is none. */
const MAX_OBJECT_BYTES = 8 * 2 ** 20;

export interface ReflectorParts<T extends Trimmed> {
  readonly client: ApiClient;
  readonly resource: Resource<T>;
  readonly store: Store<T>;
  readonly clock: Clock;
  readonly timing: Timing;
  /** In [0, 1). */
  readonly random: () => number;
  /** Shared by all: lets the event loop have its turn when it is due. */
  readonly breathe: () => Promise<void> | undefined;
  readonly events: ReflectorEvents;
}

export interface ReflectorEvents {
  /** The store equals the list. */
  listed(): void;
  watching(): void;
  failed(failure: ApiFailure): void;
  /** Something came that is no object of this resource. */
  malformed(): void;
  /** The server said something. */
  heard(): void;
}

export class Reflector<T extends Trimmed> {
  readonly #parts: ReflectorParts<T>;
  readonly #backoff: Backoff;
  readonly #stop = new AbortController();
  /** Where to go on from; undefined: a list is needed. */
  #version: string | undefined;
  /** What a server has in its cache may be older than what is known here, or than what another server has forgotten. */
  #needsFresh = false;
  /** Since the last attempt that was not refused. */
  #refusals = 0;
  /** Watches that ended by an error in their midst, since the last event or list. */
  #errors = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(parts: ReflectorParts<T>) {
    this.#parts = parts;
    this.#backoff = new Backoff(parts.timing.backoff, parts.random);
  }

  start(): void {
    this.#running = this.#run();
  }

  async shutdown(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { events } = this.#parts;
    while (!this.#stop.signal.aborted) {
      try {
        const access = await this.#parts.client.access();
        if (this.#version === undefined) await this.#list(access);
        if (!this.#stop.signal.aborted) await this.#watch(access);
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        const failure = asFailure(error);
        this.#refusals = failure.kind === 'forbidden' ? this.#refusals + 1 : 0;
        const isStuck = this.#refusals >= REFUSALS_TO_LIST || this.#errors >= ERRORS_TO_LIST;
        if (NEEDS_LIST.has(failure.kind) || isStuck) this.#version = undefined;
        this.#needsFresh ||= failure.kind === 'expired';
        events.failed(failure);
        await this.#pause(this.#backoff.next(failure.retryAfterMs));
      }
    }
  }

  async #list(access: Access): Promise<void> {
    const { store, events, timing } = this.#parts;
    const seen = new Set<string>();
    let version = '';
    let next = '';
    do {
      const query = new URLSearchParams({ limit: String(timing.pageSize) });
      if (next !== '') query.set('continue', next);
      // From the server's cache, which spares etcd when all agents of a cluster start at once.
      else if (!this.#needsFresh) query.set('resourceVersion', '0');
      const frames = new ListFrames(MAX_OBJECT_BYTES);
      for await (const chunk of await this.#open('list', query, access, timing.listIdleMs, this.#stop.signal)) {
        events.heard();
        for (const json of frames.push(chunk)) {
          const object = this.#trim(parse(json));
          if (object) {
            seen.add(object.uid);
            store.put(object);
          }
          await this.#parts.breathe();
        }
      }
      this.#countOversized(frames.oversized);
      ({ resourceVersion: version, next } = frames.end());
    } while (next !== '');
    for (const uid of [...store.uids()]) {
      if (!seen.has(uid)) store.remove(uid);
      await this.#parts.breathe();
    }
    this.#version = version;
    this.#errors = 0;
    this.#needsFresh = true;
    events.listed();
  }

  async #watch(access: Access): Promise<void> {
    const { timing, clock, random, events } = this.#parts;
    const seconds = Math.ceil(timing.watchSeconds * (1 + random()));
    const query = new URLSearchParams({
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: this.#version!,
      timeoutSeconds: String(seconds),
    });
    const overdue = new AbortController();
    const cut = () => overdue.abort();
    const cancel = clock.schedule(seconds * 1000 + timing.watchGraceMs, cut);
    // Not AbortSignal.any: each watch would leave a reference behind in the signal that outlives them all.
    this.#stop.signal.addEventListener('abort', cut);
    const began = clock.now();
    try {
      const chunks = await this.#open('watch', query, access, timing.watchIdleMs, overdue.signal);
      events.watching();
      this.#refusals = 0;
      const lines = new LineFrames(MAX_OBJECT_BYTES);
      for await (const chunk of chunks) {
        events.heard();
        for (const json of lines.push(chunk)) {
          this.#apply(parse(json), access);
          await this.#parts.breathe();
        }
      }
      this.#countOversized(lines.oversized);
    } catch (error) {
      if (!overdue.signal.aborted) throw error;
    } finally {
      cancel();
      this.#stop.signal.removeEventListener('abort', cut);
      if (clock.now() - began >= timing.healthyWatchMs) this.#backoff.reset();
    }
    if (clock.now() - began < timing.shortWatchMs) {
      throw new ApiFailure(
        'server',
        `the API server ends a watch of ${this.#parts.resource.name} as soon as it begins`,
      );
    }
  }

  async #open(verb: 'list' | 'watch', query: URLSearchParams, access: Access, idleMs: number, signal: AbortSignal) {
    const { client, resource, breathe } = this.#parts;
    // All reflectors begin at once; the first requests of a process are 2 ms each, before their code is compiled.
    await breathe();
    const path = `${resource.path}?${query}`;
    return client.open({ verb, resource: resource.name, group: resource.group, path, idleMs, signal }, access);
  }

  #apply(event: JsonRecord, access: Access): void {
    const { store, resource } = this.#parts;
    const raw = asRecord(event.object);
    switch (event.type) {
      case 'ADDED':
      case 'MODIFIED': {
        const object = raw && this.#trim(raw);
        if (object) store.put(object);
        break;
      }
      case 'DELETED': {
        const object = raw && this.#trim(raw);
        if (object) store.remove(object.uid);
        break;
      }
      case 'BOOKMARK':
        break;
      case 'ERROR': {
        this.#errors++;
        const status = typeof raw?.code === 'number' ? raw.code : 500;
        const asked = { verb: 'watch', resource: resource.name, group: resource.group } as const;
        throw refusal(asked, { status, said: asText(raw?.message) ?? '', retryAfterMs: undefined }, access.credentials);
      }
      default:
        throw new ApiFailure('malformed', `the API server's watch of ${resource.name} has an event of no known type`);
    }
    const version = asText(asRecord(raw?.metadata)?.resourceVersion);
    if (version) this.#version = version;
    this.#errors = 0;
  }

  #trim(raw: JsonRecord): T | undefined {
    const object = this.#parts.resource.trim(raw);
    if (!object) this.#parts.events.malformed();
    return object;
  }

  #countOversized(count: number): void {
    for (let i = 0; i < count; i++) this.#parts.events.malformed();
  }

  #pause(ms: number): Promise<void> {
    const { signal } = this.#stop;
    return new Promise((resolve) => {
      const done = () => {
        cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const cancel = this.#parts.clock.schedule(ms, done);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }
}

function parse(json: Buffer): JsonRecord {
  let value: unknown;
  try {
    value = JSON.parse(json.toString('utf8'));
  } catch (error) {
    throw new ApiFailure('malformed', `the API server sent what is no JSON: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const record = asRecord(value);
  if (!record) throw new ApiFailure('malformed', 'the API server sent JSON that is no object');
  return record;
}

/** A mistake of ours in a store must not end the loop either: it is told as what it is and tried again. */
function asFailure(error: unknown): ApiFailure {
  if (error instanceof ApiFailure) return error;
  return new ApiFailure('malformed', `an object could not be taken in: ${(error as Error).stack ?? error}`, {
    cause: error,
  });
}
