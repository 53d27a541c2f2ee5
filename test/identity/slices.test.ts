import { expect, it } from 'vitest';
import { breathe } from '../../src/identity/slices.ts';

let pieces = 0;

/** Works until the slice is over. */
function exhaust(): Promise<void> {
  for (;;) {
    const pause = breathe();
    if (pause) return pause;
    pieces++;
  }
}

it('gives the event loop its turn once the slice is over', async () => {
  let turned = false;
  setImmediate(() => {
    turned = true;
  });
  await exhaust();
  expect(turned).toBe(true);
});

it('gives all long work together one slice a turn, each its own in its order', async () => {
  let turn = 0;
  let over = false;
  setImmediate(function count() {
    turn++;
    if (!over) setImmediate(count);
  });
  const slices: { readonly who: string; readonly turn: number }[] = [];
  const work = async (who: string) => {
    for (let n = 0; n < 3; n++) {
      await exhaust();
      slices.push({ who, turn });
    }
  };
  await Promise.all(['a', 'b', 'c'].map(work));
  over = true;
  expect(slices.map(({ who }) => who).join('')).toBe('abcabcabc');
  expect(new Set(slices.map((slice) => slice.turn)).size).toBe(slices.length);
  expect(pieces).toBeGreaterThan(slices.length);
});
