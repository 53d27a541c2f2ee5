import type { MapLike } from './wide-map.ts';

/**
 * Who held a key when. Records arrive after the fact and addresses are reused, so a claim that ended stays for a while
 * as a tombstone and lookups are as of a time.
 *
 * A claim begins when its source told us, which is later than when it became true: a moment that no claim covers
 * belongs to the next one that begins, so that a pod announced two seconds after its first connection names it.
 *
 * There is a claim for each address of a mesh, and nearly all of them are since ever, for now, and alone: of such a one
 * the holder stands for itself.
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

export class Timeline<K, T extends object> {
  readonly #claims: MapLike<K, T | Claim<T>[]>;
  /** Ended claims in the order of their ends. */
  readonly #tombstones: { readonly key: K; readonly claim: Claim<T> }[] = [];
  readonly #better: (a: T, b: T) => number;

  /** `better`: as for a sort, the one that names a shared key first. `claims`: as the map of a MultiMap. */
  constructor(better: (a: T, b: T) => number, claims: MapLike<K, T | Claim<T>[]> = new Map()) {
    this.#better = better;
    this.#claims = claims;
  }

  /** `fromMs`: wall-clock ms; undefined: since ever. */
  begin(key: K, holder: T, fromMs: number | undefined): void {
    if (fromMs === undefined && !this.#claims.has(key)) this.#claims.set(key, holder);
    else this.#list(key).push(new Claim(holder, fromMs));
  }

  /** Ends this holder's claim and nobody else's. */
  end(key: K, holder: T, untilMs: number): void {
    if (!this.#claims.has(key)) return;
    const claim = this.#list(key).find((c) => c.holder === holder && c.untilMs === undefined);
    if (!claim) return;
    claim.untilMs = untilMs;
    this.#tombstones.push({ key, claim });
  }

  /** Who holds it now. */
  current(key: K): T | undefined {
    const claims = this.#held(key);
    if (!Array.isArray(claims)) return claims;
    let best: T | undefined;
    for (const { holder, untilMs } of claims) if (untilMs === undefined) best = this.#prefer(holder, best);
    return best;
  }

  /** Who held it at `timeMs`, or came next. */
  at(key: K, timeMs: number): T | undefined {
    const claims = this.#held(key);
    if (!Array.isArray(claims)) return claims;
    let holding: T | undefined;
    let next: T | undefined;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const claim of claims) {
      const { holder, fromMs } = claim;
      if (claim.covers(timeMs)) holding = this.#prefer(holder, holding);
      else if (claim.beginsAfter(timeMs) && fromMs! <= nextMs) {
        next = fromMs === nextMs ? this.#prefer(holder, next) : holder;
        nextMs = fromMs!;
      }
    }
    return holding ?? next;
  }

  /** Drops the claims that ended before `limitMs`. */
  prune(limitMs: number): void {
    let gone = 0;
    while (gone < this.#tombstones.length && this.#tombstones[gone]!.claim.untilMs! < limitMs) {
      const { key, claim } = this.#tombstones[gone++]!;
      const left = this.#list(key).filter((other) => other !== claim);
      if (left.length > 0) this.#claims.set(key, left);
      else this.#claims.delete(key);
    }
    this.#tombstones.splice(0, gone);
  }

  /** Most sources name nobody by cgroup: a key is not hashed where there is nothing to find. */
  #held(key: K): T | Claim<T>[] | undefined {
    return this.#claims.size === 0 ? undefined : this.#claims.get(key);
  }

  /** The key's claims as a list that is kept. */
  #list(key: K): Claim<T>[] {
    const claims = this.#claims.get(key);
    if (Array.isArray(claims)) return claims;
    const list = claims === undefined ? [] : [new Claim(claims, undefined)];
    this.#claims.set(key, list);
    return list;
  }

  #prefer(holder: T, best: T | undefined): T {
    return best === undefined || this.#better(holder, best) < 0 ? holder : best;
  }
}
