/** Whatever a control plane says: no crash, no stall, no growth, and what is right is taken afterwards. bench/fuzz-istiod.ts does more of it. */
import { expect, it } from 'vitest';
import { fuzz } from './support/fuzz.ts';

it('lives with 20,000 mutated messages, and serves the good state afterwards', async () => {
  const { messages, given, state } = await fuzz({ messages: 20_000, seed: 4 });
  expect(messages).toBe(20_000);
  // Some were refused as a whole, some in part, and some had nothing wrong that mattered.
  expect(given.broken).toBeGreaterThan(1_000);
  expect(given.refused).toBeGreaterThan(1_000);
  expect(given.accepted).toBeGreaterThan(1_000);
  expect(state).toEqual({
    'at 10.0.0.1': 'a',
    'at 10.0.0.2': 'b',
    'at 10.96.0.1': 'web.shop.svc.cluster.local',
    workloads: 2,
    services: 1,
  });
});
