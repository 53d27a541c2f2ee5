import { describe, expect, it } from 'vitest';
import { acceptsGzip, formatFor } from '../../../src/exporters/prometheus/negotiate.ts';

const PROMETHEUS_2 =
  'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1';
const PROMETHEUS_3 =
  'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1';
const PROMETHEUS_3_TEXT = 'text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.25,*/*;q=0.1';

describe('format by Accept', () => {
  it.each([
    [undefined, 'text'],
    ['', 'text'],
    ['*/*', 'text'],
    ['text/plain', 'text'],
    ['text/html,application/xhtml+xml,*/*;q=0.8', 'text'],
    ['application/json', 'text'],
    [PROMETHEUS_2, 'openmetrics'],
    [PROMETHEUS_3, 'openmetrics'],
    [PROMETHEUS_3_TEXT, 'text'],
    ['application/openmetrics-text', 'openmetrics'],
    ['Application/OpenMetrics-Text; Version="1.0.0"; charset=utf-8', 'openmetrics'],
    ['application/openmetrics-text;version=0.0.1', 'text'],
    ['application/openmetrics-text;version=2.0.0', 'text'],
    ['application/openmetrics-text;q=0', 'text'],
    ['application/openmetrics-text;q=0,*/*', 'text'],
    ['application/openmetrics-text;q=0.5,text/plain;q=0.9', 'text'],
    ['text/plain;q=0.5,application/openmetrics-text;q=0.9', 'openmetrics'],
    ['text/plain,application/openmetrics-text', 'openmetrics'],
    ['text/plain;q=0,*/*', 'openmetrics'],
    ['application/*,text/plain;q=0.1', 'openmetrics'],
    ['application/*,*/*', 'text'],
    ['application/openmetrics-text;q=nonsense', 'text'],
    ['application/openmetrics-text;version=1.0.0;q=0.1,application/openmetrics-text;q=0.9,text/plain;q=0.5', 'text'],
  ])('%s → %s', (accept, expected) => {
    expect(formatFor(accept)).toBe(expected);
  });
});

describe('gzip by Accept-Encoding', () => {
  it.each([
    [undefined, false],
    ['', false],
    ['gzip', true],
    ['GZIP', true],
    ['x-gzip', true],
    ['deflate, gzip;q=1.0, *;q=0.5', true],
    ['br, deflate', false],
    ['*', true],
    ['gzip;q=0', false],
    ['gzip;q=0.000', false],
    ['gzip;q=0,*', false],
    ['identity', false],
    ['identity;q=0.5, gzip;q=0.5', true],
    ['identity;q=1, gzip;q=0.5', false],
    ['gzip;q=2', false],
  ])('%s → %s', (acceptEncoding, expected) => {
    expect(acceptsGzip(acceptEncoding)).toBe(expected);
  });
});
