/** bench/fuzz-kubernetes.ts does more of it. FUZZ_SEED repeats a run. */
import { expect, it } from 'vitest';
import { fuzz } from './support/fuzz.ts';

const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

it(`mutated streams (seed ${SEED}) neither end the source nor leave anything behind`, async () => {
  const { messages, refused } = await fuzz({ messages: 20_000, seed: SEED });
  expect(messages).toBeGreaterThanOrEqual(20_000);
  expect(refused).toBeGreaterThan(0);
});
