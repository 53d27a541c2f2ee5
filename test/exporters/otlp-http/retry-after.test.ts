import { expect, it } from 'vitest';
import { retryAfterMs } from '../../../src/exporters/otlp-http/retry-after.ts';

const NOW = Date.parse('Tue, 24 Nov 2026 07:00:00 GMT');

it.each([
  [undefined, undefined],
  ['', undefined],
  ['soon', undefined],
  ['-5', undefined],
  ['0', 0],
  ['120', 120_000],
  [' 7 ', 7000],
  ['Tue, 24 Nov 2026 07:00:30 GMT', 30_000],
  ['Tue, 24 Nov 2026 06:59:00 GMT', 0],
])('reads %j as %j', (header, ms) => {
  expect(retryAfterMs(header, NOW)).toBe(ms);
});
