/** What kind of number a metric's values are, for OpenTelemetry's instruments and points. */
import { ValueType } from '@opentelemetry/api';
import type { MetricDefinition } from '../collector/telemetry.ts';

/** Seconds and ratios are fractions; everything else counts things. */
export function valueType({ unit }: MetricDefinition): ValueType {
  return unit === 's' || unit === '1' ? ValueType.DOUBLE : ValueType.INT;
}
