import { expect, test } from 'vitest';
import { missingCapabilities } from '../../src/receiver/capabilities.ts';

/** /proc/<pid>/status of a process with these effective capabilities. */
function status(...capabilities: number[]): string {
  const bits = capabilities.reduce((sum, capability) => sum | (1n << BigInt(capability)), 0n);
  return `Name:\tnode\nCapPrm:\t000001ffffffffff\nCapEff:\t${bits.toString(16).padStart(16, '0')}\nSeccomp:\t0\n`;
}

const SYS_ADMIN = 21;
const PERFMON = 38;
const BPF = 39;

test.for([
  { has: [], missing: ['CAP_BPF', 'CAP_PERFMON'] },
  { has: [BPF], missing: ['CAP_PERFMON'] },
  { has: [PERFMON], missing: ['CAP_BPF'] },
  { has: [BPF, PERFMON], missing: [] },
  { has: [SYS_ADMIN], missing: [] },
])('of a process with the capabilities $has, $missing are missing', ({ has, missing }) => {
  expect(missingCapabilities(status(...has))).toEqual(missing);
});

test('a status without capabilities has none', () => {
  expect(missingCapabilities('Name:\tnode\n')).toEqual(['CAP_BPF', 'CAP_PERFMON']);
});
