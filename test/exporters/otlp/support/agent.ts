/** The parts of a running agent that exporters see, in memory. */
import type { Component, Host, Pipeline, Settings, Signal } from '../../../../src/collector/component.ts';
import type { LabelValues, MetricDefinition, Telemetry } from '../../../../src/collector/telemetry.ts';

type Observer = (report: (value: number, labels?: LabelValues) => void) => void;

/** Telemetry whose values a test can ask for. */
export class FakeTelemetry implements Telemetry {
  readonly #counters = new Map<string, number>();
  readonly #definitions = new Map<string, { definition: MetricDefinition; labels: LabelValues }>();
  readonly #observers = new Map<MetricDefinition, Set<Observer>>();

  counter(definition: MetricDefinition, labels: LabelValues = {}) {
    const key = keyOf(definition, labels);
    this.#definitions.set(key, { definition, labels });
    this.#counters.set(key, this.#counters.get(key) ?? 0);
    return {
      add: (value: number) => {
        this.#counters.set(key, this.#counters.get(key)! + value);
      },
    };
  }

  histogram() {
    return { record: () => {} };
  }

  observe(definition: MetricDefinition, observe: Observer) {
    const observers = this.#observers.get(definition) ?? new Set();
    this.#observers.set(definition, observers.add(observe));
    return () => {
      observers.delete(observe);
    };
  }

  collect() {
    return [...this.#definitions].map(([key, { definition, labels }]) => ({
      definition,
      points: [{ labels, value: this.#counters.get(key)! }],
    }));
  }

  /** 0 for a counter that nobody has asked for. */
  count(definition: MetricDefinition, labels: LabelValues): number {
    return this.#counters.get(keyOf(definition, labels)) ?? 0;
  }

  /** What the observers of a definition report now. */
  observed(definition: MetricDefinition): number[] {
    const values: number[] = [];
    for (const observe of this.#observers.get(definition) ?? []) observe((value) => values.push(value));
    return values;
  }
}

const keyOf = (definition: MetricDefinition, labels: LabelValues) => `${definition.name} ${JSON.stringify(labels)}`;

export interface FakeAgent {
  readonly settings: Settings;
  readonly telemetry: FakeTelemetry;
  /** `level message`. */
  readonly log: string[];
  readonly host: Host;
}

export function fakeAgent(id: string, extensions: Readonly<Record<string, Component>> = {}): FakeAgent {
  const telemetry = new FakeTelemetry();
  const log: string[] = [];
  const at = (level: string) => (message: string) => {
    log.push(`${level} ${message}`);
  };
  const logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  const host: Host = {
    extension: (name) => extensions[name],
    setReady: () => {},
    notReady: () => new Map(),
    fail: (error) => {
      throw error;
    },
  };
  return { settings: { id, logger, telemetry, version: '1.2.3' }, telemetry, log, host };
}

export function fakePipeline(signal: Signal, id: string = signal): Pipeline {
  const shared = new Map<string, unknown>();
  return {
    id,
    signal,
    shared<T>(key: string, create: () => T): T {
      if (!shared.has(key)) shared.set(key, create());
      return shared.get(key) as T;
    },
  };
}

/** Resolves as soon as `condition` holds; a test that waits in vain ends with the suite's own limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** A deadline far away. */
export const noDeadline = (): AbortSignal => new AbortController().signal;
