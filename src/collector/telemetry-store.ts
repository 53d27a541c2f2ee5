/** The agent's own instruments: plain numbers that are collected when a reader asks. */
import type {
  CounterHandle,
  HistogramHandle,
  LabelValues,
  MetricDefinition,
  Telemetry,
  TelemetryFamily,
  TelemetryPoint,
} from './telemetry.ts';

class Counter implements CounterHandle {
  value = 0;

  add(value: number): void {
    this.value += value;
  }
}

class Histogram implements HistogramHandle {
  readonly #bounds: readonly number[];
  readonly buckets: number[];
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.buckets = new Array<number>(bounds.length + 1).fill(0);
  }

  record(value: number): void {
    let i = 0;
    while (i < this.#bounds.length && value > this.#bounds[i]!) i++;
    this.buckets[i]!++;
    this.sum += value;
    this.count++;
  }
}

type Observe = (report: (value: number, labels?: LabelValues) => void) => void;

interface Family {
  readonly definition: MetricDefinition;
  readonly counters: Map<string, { readonly labels: LabelValues; readonly handle: Counter }>;
  readonly histograms: Map<string, { readonly labels: LabelValues; readonly handle: Histogram }>;
  readonly observers: Set<Observe>;
}

/**
 * `onObserveError` is told of an observer that threw; its family is collected without it. It should log once a name,
 * not once a collection.
 */
export function createTelemetry(onObserveError: (name: string, error: unknown) => void): Telemetry {
  const families = new Map<string, Family>();

  const familyOf = (definition: MetricDefinition): Family => {
    let family = families.get(definition.name);
    if (family === undefined) {
      family = { definition, counters: new Map(), histograms: new Map(), observers: new Set() };
      families.set(definition.name, family);
    }
    return family;
  };

  return {
    counter(definition, labels = {}) {
      const { counters } = familyOf(definition);
      const key = labelKey(definition, labels);
      let entry = counters.get(key);
      if (entry === undefined) {
        entry = { labels, handle: new Counter() };
        counters.set(key, entry);
      }
      return entry.handle;
    },

    histogram(definition, labels = {}) {
      const { histograms } = familyOf(definition);
      const key = labelKey(definition, labels);
      let entry = histograms.get(key);
      if (entry === undefined) {
        entry = { labels, handle: new Histogram(definition.bounds ?? []) };
        histograms.set(key, entry);
      }
      return entry.handle;
    },

    observe(definition, observe) {
      const { observers } = familyOf(definition);
      observers.add(observe);
      return () => {
        observers.delete(observe);
      };
    },

    collect: () =>
      [...families.values()].map((family): TelemetryFamily => {
        return { definition: family.definition, points: collectFamily(family, onObserveError) };
      }),
  };
}

function collectFamily(family: Family, onObserveError: (name: string, error: unknown) => void): TelemetryPoint[] {
  const { definition } = family;
  const values = new Map<string, { labels: LabelValues; value: number }>();
  for (const [key, { labels, handle }] of family.counters) values.set(key, { labels, value: handle.value });
  for (const observe of family.observers) {
    try {
      observe((value, labels = {}) => {
        const key = labelKey(definition, labels);
        // A page must not hold a series twice: parts of a counter add up, of a gauge the later is right.
        const before = definition.type === 'counter' ? (values.get(key)?.value ?? 0) : 0;
        values.set(key, { labels, value: before + value });
      });
    } catch (error) {
      onObserveError(definition.name, error);
    }
  }
  const histograms = [...family.histograms.values()].map(({ labels, handle }) => ({
    labels,
    buckets: [...handle.buckets],
    sum: handle.sum,
    count: handle.count,
  }));
  return [...values.values(), ...histograms];
}

/** @throws Error when the labels are not exactly the definition's: a mistake in the program. */
function labelKey(definition: MetricDefinition, labels: LabelValues): string {
  const names = definition.labels;
  if (Object.keys(labels).length !== names.length || !names.every((name) => Object.hasOwn(labels, name))) {
    const given = Object.keys(labels).join(', ') || 'none';
    throw new Error(`${definition.name} has the labels ${names.join(', ') || 'none'}, given were ${given}`);
  }
  return names.length === 1 ? labels[names[0]!]! : JSON.stringify(names.map((name) => labels[name]));
}
