/**
 * Who held a key when. Records arrive after the fact and addresses are reused, so a claim that ended stays for a while
 * as a tombstone and lookups are as of a time.
 *
 * A claim begins when its source told us, which is later than when it became true: a moment that no claim covers
 * belongs to the next one that begins, so that a pod announced two seconds after its first connection names it.
 *
 * There is a claim for each address of a mesh, and nearly all of them are since ever, for now, and alone: such a one
 * costs no list and no number.
 */
class Claim<T> {
  readonly holder: T;
  /** Wall-clock ms; undefined for what was there when the source first told its state. */
  readonly fromMs: number | undefined;
  /** undefined while it holds. */
  untilMs: number | undefined = undefined;

  constructor(holder: T, fromMs: number | undefined) {
    this.holder = holder;
    this.fromMs = fromMs;
  }

  covers(timeMs: number): boolean {
    return !this.beginsAfter(timeMs) && (this.untilMs === undefined || timeMs < this.untilMs);
  }

  beginsAfter(timeMs: number): boolean {
    return this.fromMs !== undefined && this.fromMs > timeMs;
  }
}

export class Timeline<K, T> {
  readonly #claims = new Map<K, Claim<T> | Claim<T>[]>();
  /** Ended claims in the order of their ends. */
  readonly #tombstones: { readonly key: K; readonly claim: Claim<T> }[] = [];
  readonly #better: (a: T, b: T) => number;

  /** `better`: as for a sort, the one that names a shared key first. */
  constructor(better: (a: T, b: T) => number) {
    this.#better = better;
  }

  /** `fromMs`: wall-clock ms; undefined: since ever. */
  begin(key: K, holder: T, fromMs: number | undefined): void {
    const claim = new Claim(holder, fromMs);
    const known = this.#claims.get(key);
    if (known === undefined) this.#claims.set(key, claim);
    else if (Array.isArray(known)) known.push(claim);
    else this.#claims.set(key, [known, claim]);
  }

  /** Ends this holder's claim and nobody else's. */
  end(key: K, holder: T, untilMs: number): void {
    const claim = this.#of(key).find((c) => c.holder === holder && c.untilMs === undefined);
    if (!claim) return;
    claim.untilMs = untilMs;
    this.#tombstones.push({ key, claim });
  }

  /** Who holds it now. */
  current(key: K): T | undefined {
    const known = this.#claims.get(key);
    if (known === undefined) return undefined;
    if (!Array.isArray(known)) return known.untilMs === undefined ? known.holder : undefined;
    return this.#best(known.filter((claim) => claim.untilMs === undefined));
  }

  /** Who held it at `timeMs`, or came next. */
  at(key: K, timeMs: number): T | undefined {
    const known = this.#claims.get(key);
    if (known === undefined) return undefined;
    if (!Array.isArray(known)) return known.covers(timeMs) || known.beginsAfter(timeMs) ? known.holder : undefined;
    const holding = known.filter((claim) => claim.covers(timeMs));
    if (holding.length > 0) return this.#best(holding);
    const later = known.filter((claim) => claim.beginsAfter(timeMs));
    const next = Math.min(...later.map((claim) => claim.fromMs!));
    return this.#best(later.filter((claim) => claim.fromMs === next));
  }

  /** Drops the claims that ended before `limitMs`. */
  prune(limitMs: number): void {
    let gone = 0;
    while (gone < this.#tombstones.length && this.#tombstones[gone]!.claim.untilMs! < limitMs) {
      const { key, claim } = this.#tombstones[gone++]!;
      const left = this.#of(key).filter((other) => other !== claim);
      if (left.length === 0) this.#claims.delete(key);
      else this.#claims.set(key, left.length === 1 ? left[0]! : left);
    }
    this.#tombstones.splice(0, gone);
  }

  #of(key: K): readonly Claim<T>[] {
    const known = this.#claims.get(key);
    if (known === undefined) return [];
    return Array.isArray(known) ? known : [known];
  }

  #best(claims: readonly Claim<T>[]): T | undefined {
    let best: T | undefined;
    for (const { holder } of claims) if (best === undefined || this.#better(holder, best) < 0) best = holder;
    return best;
  }
}
