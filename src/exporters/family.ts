/** A metric family with its points, free of any SDK's types: what the series table and the agent's telemetry both give. */
import type { MetricDefinition, TelemetryPoint } from '../collector/telemetry.ts';

export type FamilyPoint = TelemetryPoint & {
  /** Wall-clock milliseconds since when it counts; undefined: since the table or the agent started. */
  readonly startMs?: number;
};

export interface Family {
  readonly definition: MetricDefinition;
  readonly points: readonly FamilyPoint[];
}
