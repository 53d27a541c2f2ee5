import { expect, it } from 'vitest';
import { churn, type Sample } from './support/churn.ts';

/** By then as many ended claims are forgotten as are made: they are kept for three minutes. */
const SETTLED_AFTER = 10_000;
const REPLACEMENTS = 60_000;

/** The least of several samples: hash tables have room to spare, more or less of it as they grow and are made anew. */
const lowest = (samples: readonly Sample[]) => Math.min(...samples.map(({ heapBytes }) => heapBytes));

it('pods that are replaced for an hour leave nothing behind, and every address has its pod', {
  timeout: 0,
}, async () => {
  const samples = await churn({ pods: 2_000, replacements: REPLACEMENTS, perMinute: 1_000, sampleEvery: 2_500 });
  expect(samples.map(({ wrong }) => wrong)).toEqual(samples.map(() => 0));
  const settled = samples.filter(({ replaced }) => replaced > SETTLED_AFTER);
  const grown = lowest(settled.slice(-8)) / lowest(settled.slice(0, 8)) - 1;
  // 2 % of the heap is 10 bytes for each pod that was replaced in between: nothing that is kept is so small.
  expect(grown).toBeLessThan(0.02);
});
