/**
 * How far the source is, resource by resource: for /readyz, and for the agent's log, where each failure is told once and
 * not at each attempt.
 */
import type { Logger } from '../../../collector/logger.ts';
import { Told } from '../told.ts';
import type { ApiFailure, FailureKind } from './api-failure.ts';

/** What concerns the server as a whole, so that one resource speaks for all. */
const OF_SERVER: ReadonlySet<FailureKind> = new Set(['credentials', 'unreachable', 'certificate', 'unauthorized']);

/** Of a watch, what the next one mends or tells better. */
const BREAKS: ReadonlySet<FailureKind> = new Set(['stalled', 'cut_off']);

const DENIED: ReadonlySet<FailureKind> = new Set(['forbidden', 'absent']);

const SERVER = 'API server';

export interface SyncStateParts {
  readonly resources: readonly string[];
  readonly logger: Logger;
  /** Wall-clock ms. */
  readonly now: () => number;
  /** `missing()` may say something else. */
  readonly changed: () => void;
}

export class SyncState {
  readonly #parts: SyncStateParts;
  readonly #listed = new Set<string>();
  /** Resource → why it cannot be had; everything else is served without it. */
  readonly #denied = new Map<string, string>();
  readonly #lastFailure = new Map<string, string>();
  /** By resource, or SERVER. */
  readonly #told = new Map<string, Told>();
  #complete = false;

  constructor(parts: SyncStateParts) {
    this.#parts = parts;
  }

  /** Every resource has been listed, or is known not to be had. */
  get settled(): boolean {
    return this.#parts.resources.every((resource) => this.#listed.has(resource) || this.#denied.has(resource));
  }

  /** The directory has the first whole state. */
  complete(): void {
    this.#complete = true;
  }

  /** One that may be listed and not watched is listed again and again, and stays denied. */
  listed(resource: string): void {
    this.#listed.add(resource);
    this.#serverAnswers(resource);
  }

  watched(resource: string): void {
    this.#serverAnswers(resource);
    if (!this.#denied.delete(resource)) return;
    this.#parts.logger.info(`${resource} can be read now`);
    this.#parts.changed();
  }

  #serverAnswers(resource: string): void {
    if (this.#told.get(SERVER)?.clear()) this.#parts.logger.info('the API server answers again');
    if (this.#lastFailure.delete(resource)) this.#waitingChanged();
  }

  /** Until all is there, `missing` has the reasons in it. */
  #waitingChanged(): void {
    if (!this.#complete) this.#parts.changed();
  }

  failed(resource: string, failure: ApiFailure): void {
    if (this.#lastFailure.get(resource) !== failure.message) {
      this.#lastFailure.set(resource, failure.message);
      this.#waitingChanged();
    }
    if (DENIED.has(failure.kind) && this.#denied.get(resource) !== failure.message) {
      this.#denied.set(resource, failure.message);
      this.#parts.changed();
    }
    this.#tell(OF_SERVER.has(failure.kind) ? SERVER : resource, failure);
  }

  missing(): string | undefined {
    if (this.#complete) return this.#denied.size > 0 ? distinct(this.#denied.values()) : undefined;
    const waitsFor = this.#parts.resources.filter((resource) => !this.#listed.has(resource));
    const failures = waitsFor.flatMap((resource) => this.#lastFailure.get(resource) ?? []);
    if (waitsFor.length === 0) return 'the directory is being filled';
    const why = failures.length > 0 ? `: ${distinct(failures)}` : '';
    return `${waitsFor.join(', ')} not listed yet${why}`;
  }

  #tell(key: string, { kind, message }: ApiFailure): void {
    const { logger, now } = this.#parts;
    // Parts of a normal life: a version that is too old is listed anew, a silent or broken watch taken up again.
    if (kind === 'expired' || (BREAKS.has(kind) && this.#listed.has(key))) {
      logger.debug(message);
      return;
    }
    const told = this.#told.get(key) ?? new Told(now);
    this.#told.set(key, told);
    if (!told.isDue(message)) return;
    const served = this.#complete ? '. What is known stays, attempts go on' : '';
    if (key === SERVER || DENIED.has(kind)) logger.error(message + served);
    else logger.warn(message + served);
  }
}

const distinct = (messages: Iterable<string>): string => [...new Set(messages)].join('; ');
