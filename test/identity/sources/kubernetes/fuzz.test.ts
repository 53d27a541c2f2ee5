import { expect, it } from 'vitest';
import { fuzz } from './support/fuzz.ts';

/** A million takes about a minute: FUZZ_MESSAGES=1000000 npx vitest run test/identity/sources/kubernetes/fuzz.test.ts */
const MESSAGES = Number(process.env.FUZZ_MESSAGES ?? 20_000);
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

it(`mutated streams (seed ${SEED}) neither end the source nor leave anything behind`, { timeout: 0 }, async () => {
  const { messages, refused } = await fuzz(MESSAGES, SEED);
  expect(messages).toBeGreaterThanOrEqual(MESSAGES);
  expect(refused).toBeGreaterThan(0);
});
