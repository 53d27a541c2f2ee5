/** Whatever a control plane says: no crash, no stall, no growth, and what is right is taken afterwards. bench/fuzz-*.ts do more of it. */
import { expect, it } from 'vitest';
import { adsTarget } from '../ads/support/fuzz.ts';
import { istiodTarget } from '../istiod/support/fuzz.ts';
import { fuzz } from './support/fuzz.ts';

it.each([
  { source: 'istiod', target: istiodTarget },
  { source: 'ads', target: adsTarget },
])('$source lives with 10,000 mutated messages, and serves the good state afterwards', async ({ target }) => {
  const { messages, given } = await fuzz(target, { messages: 10_000, seed: 4 });
  expect(messages).toBe(10_000);
  // Some were refused as a whole, some in part, and some had nothing wrong that mattered.
  expect(given.broken).toBeGreaterThan(1_000);
  expect(given.refused).toBeGreaterThan(1_000);
  expect(given.accepted).toBeGreaterThan(1_000);
});
