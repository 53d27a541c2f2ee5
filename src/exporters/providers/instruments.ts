/** Instruments of an embedding program's Meter, made from rows of the metric registry. */
import type { Attributes, Meter, MetricOptions } from '@opentelemetry/api';
import type { MetricDefinition } from '../../collector/telemetry.ts';
import { valueType } from '../value-type.ts';

/** Adds to, or records, one number under one set of attributes. */
export type Instrument = (value: number, attributes: Attributes) => void;

/** A counter, a gauge that is moved by differences (an up-down counter), or a histogram with the registry's buckets. */
export function createInstrument(meter: Meter, definition: MetricDefinition): Instrument {
  const options = instrumentOptions(definition);
  switch (definition.type) {
    case 'counter': {
      const counter = meter.createCounter(definition.name, options);
      return (value, attributes) => counter.add(value, attributes);
    }
    case 'gauge': {
      const counter = meter.createUpDownCounter(definition.name, options);
      return (value, attributes) => counter.add(value, attributes);
    }
    case 'histogram': {
      const advice = { explicitBucketBoundaries: [...(definition.bounds ?? [])] };
      const histogram = meter.createHistogram(definition.name, { ...options, advice });
      return (value, attributes) => histogram.record(value, attributes);
    }
  }
}

export function instrumentOptions(definition: MetricDefinition): MetricOptions {
  return { description: definition.help, unit: definition.unit, valueType: valueType(definition) };
}
