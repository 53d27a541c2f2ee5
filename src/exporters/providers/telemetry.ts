/** What the ledger counts about itself, as instruments of an embedding program's MeterProvider. */
import type { Meter, ObservableCallback } from '@opentelemetry/api';
import type { MetricDefinition, Telemetry } from '../../collector/telemetry.ts';
import { createInstrument, type Instrument, instrumentOptions } from './instruments.ts';

/** `collect` gives nothing: the provider's own readers collect. */
export function createProviderTelemetry(meter: Meter): Telemetry {
  const instruments = new Map<string, Instrument>();
  const instrument = (definition: MetricDefinition): Instrument => {
    const known = instruments.get(definition.name) ?? createInstrument(meter, definition);
    instruments.set(definition.name, known);
    return known;
  };
  return {
    counter(definition, labels = {}) {
      const add = instrument(definition);
      add(0, labels);
      return { add: (value) => add(value, labels) };
    },
    histogram(definition, labels = {}) {
      const record = instrument(definition);
      return { record: (value) => record(value, labels) };
    },
    observe(definition, observe) {
      const options = instrumentOptions(definition);
      const observable =
        definition.type === 'counter'
          ? meter.createObservableCounter(definition.name, options)
          : meter.createObservableGauge(definition.name, options);
      const callback: ObservableCallback = (result) => observe((value, labels) => result.observe(value, labels));
      observable.addCallback(callback);
      return () => observable.removeCallback(callback);
    },
    collect: () => [],
  };
}
