/**
 * What the agent counts about itself (telemetry.md §4). A small store of instruments: the definitions are rows of the
 * metric registry, the readers (Prometheus page, OTLP) collect it beside the series table. Not for hot paths per
 * connection: one `add` is a few nanoseconds, but labelled instruments are looked up once and kept by the caller.
 */

/** A row of the metric registry (src/semconv/registry.ts), as far as an instrument needs it. */
export interface MetricDefinition {
  /** OTel instrument name, without `_total`. */
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** UCUM unit, as `By`, `s`, `{connection}`; '' for a bare number. */
  readonly unit: string;
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds of a histogram's buckets without +Inf, in `unit`. */
  readonly bounds?: readonly number[];
}

export type LabelValues = Readonly<Record<string, string>>;

export interface CounterHandle {
  add(value: number): void;
}

export interface HistogramHandle {
  record(value: number): void;
}

/** A point as readers see it. */
export type TelemetryPoint =
  | { readonly labels: LabelValues; readonly value: number }
  | {
      readonly labels: LabelValues;
      readonly buckets: readonly number[];
      readonly sum: number;
      readonly count: number;
    };

export interface TelemetryFamily {
  readonly definition: MetricDefinition;
  readonly points: readonly TelemetryPoint[];
}

export interface Telemetry {
  /** The counter of that definition and label set; the same handle for the same arguments. Starts at 0 and is shown at once. */
  counter(definition: MetricDefinition, labels?: LabelValues): CounterHandle;
  histogram(definition: MetricDefinition, labels?: LabelValues): HistogramHandle;
  /**
   * A gauge, or a counter kept elsewhere, observed at each collection: `observe` calls `report` once per label set.
   * Returns a function that takes it off again (at shutdown of the component).
   */
  observe(
    definition: MetricDefinition,
    observe: (report: (value: number, labels?: LabelValues) => void) => void,
  ): () => void;
  collect(): TelemetryFamily[];
}
