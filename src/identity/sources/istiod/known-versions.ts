/**
 * Versions of the resources held, for the first request of a new stream, which may be so long and no longer: once they
 * are too many to be declared they are worth no memory, and the control plane tells everything again.
 */

/**
 * What istiod takes: 4 MiB by default (ISTIO_GPRC_MAXRECVMSGSIZE), with room to spare. A longer request would end every
 * stream as soon as it began.
 */
const LONGEST_DECLARATION = 3.5 * 1024 * 1024;

/** Bytes of an entry beside its texts. */
const ENTRY = 12;

export class KnownVersions {
  readonly #longest: number;
  /** Resource name → version, '' where the control plane sets none. undefined: they were too many. */
  #versions: Map<string, string> | undefined = new Map();
  #length = 0;

  /** `longest`: bytes of all of them in a request. */
  constructor(longest = LONGEST_DECLARATION) {
    this.#longest = longest;
  }

  has(name: string): boolean {
    return this.#versions?.has(name) ?? false;
  }

  get(name: string): string | undefined {
    return this.#versions?.get(name);
  }

  /** undefined if they are too many, now and for good. */
  all(): Iterable<readonly [name: string, version: string]> | undefined {
    return this.#versions;
  }

  set(name: string, version: string): void {
    if (this.#versions === undefined) return;
    const before = this.#versions.get(name);
    if (before !== undefined) this.#length -= lengthOf(name, before);
    this.#versions.set(name, version);
    this.#length += lengthOf(name, version);
    if (this.#length > this.#longest) this.#versions = undefined;
  }

  delete(name: string): void {
    const version = this.#versions?.get(name);
    if (version === undefined) return;
    this.#versions?.delete(name);
    this.#length -= lengthOf(name, version);
  }
}

/** In UTF-16 units: names are ASCII, and the limit has room to spare. */
const lengthOf = (name: string, version: string): number => name.length + version.length + ENTRY;
