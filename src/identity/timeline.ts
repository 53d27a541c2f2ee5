/**
 * Who held a key when. Records arrive after the fact and addresses are reused, so a claim that ended stays for a while
 * as a tombstone and lookups are as of a time.
 *
 * A claim begins when its source told us, which is later than when it became true: a moment that no claim covers
 * belongs to the next one that begins, so that a pod announced two seconds after its first connection names it.
 */
interface Claim<T> {
  readonly holder: T;
  /** Wall-clock ms; -Infinity for what was there when the source first told its state. */
  readonly fromMs: number;
  /** Infinity while it holds. */
  untilMs: number;
}

export class Timeline<K, T> {
  readonly #claims = new Map<K, Claim<T>[]>();
  /** Ended claims in the order of their ends. */
  readonly #tombstones: { readonly key: K; readonly claim: Claim<T> }[] = [];
  readonly #better: (a: T, b: T) => number;

  /** `better`: as for a sort, the one that names a shared key first. */
  constructor(better: (a: T, b: T) => number) {
    this.#better = better;
  }

  begin(key: K, holder: T, fromMs: number): void {
    const claim: Claim<T> = { holder, fromMs, untilMs: Number.POSITIVE_INFINITY };
    const claims = this.#claims.get(key);
    if (claims) claims.push(claim);
    else this.#claims.set(key, [claim]);
  }

  /** Ends this holder's claim and nobody else's. */
  end(key: K, holder: T, untilMs: number): void {
    const claim = this.#claims.get(key)?.find((c) => c.holder === holder && c.untilMs === Number.POSITIVE_INFINITY);
    if (!claim) return;
    claim.untilMs = untilMs;
    this.#tombstones.push({ key, claim });
  }

  /** Who holds it now. */
  current(key: K): T | undefined {
    return this.#best(this.#claims.get(key)?.filter((claim) => claim.untilMs === Number.POSITIVE_INFINITY));
  }

  /** Who held it at `timeMs`, or came next. */
  at(key: K, timeMs: number): T | undefined {
    const claims = this.#claims.get(key);
    if (!claims) return undefined;
    const holding = claims.filter((claim) => claim.fromMs <= timeMs && timeMs < claim.untilMs);
    if (holding.length > 0) return this.#best(holding);
    const later = claims.filter((claim) => claim.fromMs > timeMs);
    const next = Math.min(...later.map((claim) => claim.fromMs));
    return this.#best(later.filter((claim) => claim.fromMs === next));
  }

  /** Drops the claims that ended before `limitMs`. */
  prune(limitMs: number): void {
    let gone = 0;
    while (gone < this.#tombstones.length && this.#tombstones[gone]!.claim.untilMs < limitMs) {
      const { key, claim } = this.#tombstones[gone++]!;
      const left = this.#claims.get(key)!.filter((other) => other !== claim);
      if (left.length > 0) this.#claims.set(key, left);
      else this.#claims.delete(key);
    }
    this.#tombstones.splice(0, gone);
  }

  #best(claims: readonly Claim<T>[] | undefined): T | undefined {
    let best: T | undefined;
    for (const { holder } of claims ?? []) if (best === undefined || this.#better(holder, best) < 0) best = holder;
    return best;
  }
}
