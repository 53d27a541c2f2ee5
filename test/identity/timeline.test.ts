/** Who held a key when, against the rule applied to the list of all claims. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Timeline } from '../../src/identity/timeline.ts';

interface Holder {
  readonly rank: number;
}

interface Claim {
  readonly holder: Holder;
  readonly fromMs: number | undefined;
  untilMs: number | undefined;
}

const byRank = (a: Holder, b: Holder): number => a.rank - b.rank;

const best = (claims: readonly Claim[]): Holder | undefined => claims.map(({ holder }) => holder).sort(byRank)[0];

function heldAt(claims: readonly Claim[], timeMs: number): Holder | undefined {
  const begun = claims.filter(({ fromMs }) => fromMs === undefined || fromMs <= timeMs);
  const holding = begun.filter(({ untilMs }) => untilMs === undefined || timeMs < untilMs);
  if (holding.length > 0) return best(holding);
  const later = claims.filter((claim) => !begun.includes(claim));
  const nextMs = Math.min(...later.map(({ fromMs }) => fromMs!));
  return best(later.filter(({ fromMs }) => fromMs === nextMs));
}

it('is who held it then, or came next, the better of several', () => {
  const step = fc.record({
    afterMs: fc.nat({ max: 2 }),
    what: fc.constantFrom('begin' as const, 'end' as const),
    which: fc.nat(),
    isFirst: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), fc.option(fc.nat({ max: 20 })), (steps, limitMs) => {
      const timeline = new Timeline<string, Holder>(byRank);
      let claims: Claim[] = [];
      let nowMs = 0;
      for (const [i, { afterMs, what, which, isFirst }] of steps.entries()) {
        nowMs += afterMs;
        const held = claims.filter(({ untilMs }) => untilMs === undefined);
        if (what === 'begin') {
          const claim = {
            holder: { rank: (which % 4) * 100 + i },
            fromMs: isFirst ? undefined : nowMs,
            untilMs: undefined,
          };
          claims.push(claim);
          timeline.begin('key', claim.holder, claim.fromMs);
        } else if (held.length > 0) {
          const claim = held[which % held.length]!;
          claim.untilMs = nowMs;
          timeline.end('key', claim.holder, nowMs);
        }
      }
      if (limitMs !== null) {
        timeline.prune(limitMs);
        claims = claims.filter(({ untilMs }) => untilMs === undefined || untilMs >= limitMs);
      }
      expect(timeline.current('key')).toBe(best(claims.filter(({ untilMs }) => untilMs === undefined)));
      for (let timeMs = -1; timeMs <= nowMs + 1; timeMs++) {
        expect(timeline.at('key', timeMs)).toBe(heldAt(claims, timeMs));
      }
      expect(timeline.current('other')).toBeUndefined();
    }),
    { numRuns: 1_000 },
  );
});
