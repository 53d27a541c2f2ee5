/** Instruments of the agent itself, and what the process says about itself. */
import { describe, expect, it } from 'vitest';
import { observeProcess } from '../../src/collector/process-metrics.ts';
import type { MetricDefinition, TelemetryPoint } from '../../src/collector/telemetry.ts';
import { createTelemetry } from '../../src/collector/telemetry-store.ts';

const define = (
  name: string,
  type: MetricDefinition['type'],
  labels: string[] = [],
  bounds?: number[],
): MetricDefinition => ({
  name,
  type,
  unit: '',
  help: '',
  labels,
  ...(bounds ? { bounds } : {}),
});

const unexpected = (name: string, error: unknown): never => {
  throw new Error(`observing ${name} failed`, { cause: error });
};

describe('instruments', () => {
  it('counts from 0, shown at once, one handle for the same labels', () => {
    const telemetry = createTelemetry(unexpected);
    const definition = define('c', 'counter', ['a', 'b']);
    const one = telemetry.counter(definition, { a: 'x', b: 'y' });
    expect(telemetry.counter(definition, { b: 'y', a: 'x' })).toBe(one);
    telemetry.counter(definition, { a: 'x', b: 'z' }).add(2);
    one.add(1);
    one.add(0.5);
    expect(telemetry.collect()).toEqual([
      {
        definition,
        points: [
          { labels: { a: 'x', b: 'y' }, value: 1.5 },
          { labels: { a: 'x', b: 'z' }, value: 2 },
        ],
      },
    ]);
  });

  it('puts a value on a bound into the bucket below it, as Prometheus does', () => {
    const telemetry = createTelemetry(unexpected);
    const histogram = telemetry.histogram(define('h', 'histogram', [], [1, 2]));
    for (const value of [0.5, 1, 1.5, 2, 3]) histogram.record(value);
    expect(telemetry.collect()[0]!.points).toEqual([{ labels: {}, buckets: [2, 2, 1], sum: 8, count: 5 }]);
  });

  it('hands out a copy: a point does not change after collection', () => {
    const telemetry = createTelemetry(unexpected);
    const histogram = telemetry.histogram(define('h', 'histogram', [], [1]));
    const [point] = telemetry.collect()[0]!.points;
    histogram.record(0);
    expect(point).toEqual({ labels: {}, buckets: [0, 0], sum: 0, count: 0 });
  });

  it('refuses labels that are not the definition’s', () => {
    const telemetry = createTelemetry(unexpected);
    expect(() => telemetry.counter(define('c', 'counter', ['a']))).toThrow('c has the labels a, given were none');
    expect(() => telemetry.counter(define('d', 'counter'), { a: '' })).toThrow('d has the labels none, given were a');
    expect(() => telemetry.counter(define('e', 'counter', ['toString']), { x: '' })).toThrow('given were x');
  });
});

describe('observers', () => {
  it('are asked at each collection, until taken off', () => {
    const telemetry = createTelemetry(unexpected);
    let value = 1;
    const remove = telemetry.observe(define('g', 'gauge', ['of']), (report) => report(value++, { of: 'a' }));
    const values = () => telemetry.collect()[0]!.points.map((point) => (point as { value: number }).value);
    expect([values(), values()]).toEqual([[1], [2]]);
    remove();
    expect(values()).toEqual([]);
  });

  it('never make a series twice: counters add up, of a gauge the later is right', () => {
    const telemetry = createTelemetry(unexpected);
    const counter = define('c', 'counter');
    telemetry.counter(counter).add(1);
    telemetry.observe(counter, (report) => report(10));
    const gauge = define('g', 'gauge');
    telemetry.observe(gauge, (report) => report(1));
    telemetry.observe(gauge, (report) => report(2));
    expect(telemetry.collect().map(({ points }) => points)).toEqual([
      [{ labels: {}, value: 11 }],
      [{ labels: {}, value: 2 }],
    ]);
  });

  it('that throw are told about, and leave the others alone', () => {
    const errors: string[] = [];
    const telemetry = createTelemetry((name, error) => errors.push(`${name}: ${(error as Error).message}`));
    telemetry.observe(define('bad', 'gauge'), () => {
      throw new Error('gone');
    });
    telemetry.observe(define('good', 'gauge'), (report) => report(1));
    expect(telemetry.collect().map(({ points }) => points.length)).toEqual([0, 1]);
    expect(errors).toEqual(['bad: gone']);
  });
});

it('the process tells its CPU, memory, descriptors, start, delay and build', async () => {
  const telemetry = createTelemetry(unexpected);
  const definitions = {
    buildInfo: define('build', 'gauge', ['version']),
    eventLoopLag: define('lag', 'gauge'),
    processCpuSeconds: define('cpu', 'counter'),
    processResidentMemory: define('rss', 'gauge'),
    processStartTime: define('start', 'gauge'),
    processOpenFds: define('fds', 'gauge'),
  };
  const stop = observeProcess(telemetry, definitions, '1.2.3');
  const value = (name: string) => {
    const family = telemetry.collect().find(({ definition }) => definition.name === name)!;
    return (family.points[0] as TelemetryPoint & { value: number }).value;
  };
  expect(telemetry.collect()[0]!.points).toEqual([{ labels: { version: '1.2.3' }, value: 1 }]);
  expect(value('cpu')).toBeGreaterThan(0);
  expect(value('rss')).toBeGreaterThan(1 << 20);
  expect(value('fds')).toBeGreaterThan(2);
  expect(Math.abs(value('start') - (Date.now() / 1000 - process.uptime()))).toBeLessThan(5);
  // The loop is blocked until well after a look was due; the look then happens late by that much.
  await new Promise((resolve) => setTimeout(resolve, 150));
  const blockedUntil = performance.now() + 350;
  while (performance.now() < blockedUntil);
  await new Promise((resolve) => setTimeout(resolve, 150));
  const lag = value('lag');
  expect(lag).toBeGreaterThan(0.1);
  stop();
  expect(telemetry.collect().every(({ points }) => points.length === 0)).toBe(true);
});
