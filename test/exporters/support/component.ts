/** What a component is created and started with, with nothing behind it. */
import type { Host, Pipeline, Settings } from '../../../src/collector/component.ts';
import type { Telemetry, TelemetryFamily } from '../../../src/collector/telemetry.ts';

/** Counts nothing; `families` is what it collects. */
export function telemetryOf(families: readonly TelemetryFamily[] = []): Telemetry {
  return {
    counter: () => ({ add: () => {} }),
    histogram: () => ({ record: () => {} }),
    observe: () => () => {},
    collect: () => [...families],
  };
}

/** Settings whose logger keeps the lines, as `level message`. */
export function settings(id: string, telemetry: Telemetry = telemetryOf()): Settings & { lines: string[] } {
  const lines: string[] = [];
  const at = (level: string) => (message: string) => {
    lines.push(`${level} ${message}`);
  };
  const logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  return { id, logger, telemetry, version: '1.2.3', lines };
}

export function metricsPipeline(id = 'metrics'): Pipeline {
  const kept = new Map<string, unknown>();
  return {
    id,
    signal: 'metrics',
    shared: <T>(key: string, create: () => T): T => {
      if (!kept.has(key)) kept.set(key, create());
      return kept.get(key) as T;
    },
  };
}

/** A host with a readiness that the test sets. */
export function testHost(notReady = new Map<string, string>()): Host {
  return {
    extension: () => undefined,
    setReady: () => {},
    notReady: () => notReady,
    fail: (error) => {
      throw error;
    },
  };
}
