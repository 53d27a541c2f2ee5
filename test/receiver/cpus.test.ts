import { cpus } from 'node:os';
import { expect, test } from 'vitest';
import { possibleCpus } from '../../src/receiver/cpus.ts';

test.for([
  ['0\n', 1],
  ['0-3\n', 4],
  ['0,2-127\n', 128],
  ['', 1],
] as const)('the list %j has room for %i', ([list, count]) => {
  expect(possibleCpus(list)).toBe(count);
});

test('this machine has no more CPUs than it may have', () => {
  expect(possibleCpus()).toBeGreaterThanOrEqual(cpus().length);
});
