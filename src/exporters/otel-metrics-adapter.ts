/**
 * The only file that knows the OpenTelemetry SDK's metric types: families of points become what its readers collect.
 * Everything cumulative; monotonic sums, gauges and explicit-bucket histograms as the registry says.
 *
 * Any stock reader takes the producers beside its own instruments:
 *
 *     new PeriodicExportingMetricReader({
 *       exporter,
 *       metricProducers: [seriesTableProducer(table), telemetryProducer(settings.telemetry)],
 *     });
 */
import type { HrTime } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { emptyResource } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  type CollectionResult,
  type DataPoint,
  DataPointType,
  MeterProvider,
  type MetricData,
  type MetricProducer,
} from '@opentelemetry/sdk-metrics';
import type { MetricDefinition, Telemetry } from '../collector/telemetry.ts';
import type { Family, FamilyPoint } from './family.ts';
import type { SeriesTable } from './series-table.ts';
import { valueType } from './value-type.ts';

const SCOPE = { name: 'tcpledger' };

/** Everything a series table has: what is counted per pair, and the node's totals. */
export function seriesTableProducer(table: SeriesTable): MetricProducer {
  return familiesProducer(() => [...table.pairFamilies(), ...table.nodeFamilies()], table.createdMs);
}

/** The node's totals alone: for a reader that takes the pairs from a snapshot itself. */
export function nodeTotalsProducer(table: SeriesTable): MetricProducer {
  return familiesProducer(() => table.nodeFamilies(), table.createdMs);
}

/** What the agent counts about itself. `startMs`: wall-clock milliseconds since when. */
export function telemetryProducer(telemetry: Telemetry, startMs: number = Date.now()): MetricProducer {
  return familiesProducer(() => telemetry.collect(), startMs);
}

/** `startMs` (wall-clock milliseconds) is the start of points without one of their own. `families` runs within `collect`. */
export function familiesProducer(families: () => readonly Family[], startMs: number): MetricProducer {
  return {
    async collect(): Promise<CollectionResult> {
      const endTime = hrTime(Date.now());
      const metrics = families()
        .filter((family) => family.points.length > 0)
        .map((family) => metricData(family, startMs, endTime));
      // The resource of a producer is ignored: the reader's MeterProvider has the one that counts.
      return { resourceMetrics: { resource: emptyResource(), scopeMetrics: [{ scope: SCOPE, metrics }] }, errors: [] };
    },
  };
}

/**
 * Producers as a page of Prometheus text 0.0.4, through the stock reader and serializer: without target_info and
 * otel_scope_* labels. What the producers count is read within the call, before the promise is returned.
 */
export function createStockPage(producers: MetricProducer[]): () => Promise<string> {
  const reader = new PrometheusExporter({ preventServerStart: true, metricProducers: producers });
  // A reader collects only when it is bound to a provider, even if all its metrics come from producers.
  new MeterProvider({ resource: emptyResource(), readers: [reader] });
  const serializer = new PrometheusSerializer('', false, undefined, true, true);
  return async () => {
    const { resourceMetrics, errors } = await reader.collect();
    if (errors.length > 0) throw new AggregateError(errors, 'Collecting the metrics for the page failed');
    return serializer.serialize(resourceMetrics);
  };
}

function metricData({ definition, points }: Family, startMs: number, endTime: HrTime): MetricData {
  const descriptor = {
    name: definition.name,
    description: definition.help,
    unit: definition.unit,
    valueType: valueType(definition),
  };
  const aggregationTemporality = AggregationTemporality.CUMULATIVE;
  const dataPoints = <T>(value: (point: FamilyPoint) => T): DataPoint<T>[] =>
    points.map((point) => ({
      startTime: hrTime(point.startMs ?? startMs),
      endTime,
      attributes: point.labels,
      value: value(point),
    }));
  switch (definition.type) {
    case 'counter':
      return {
        descriptor,
        aggregationTemporality,
        dataPointType: DataPointType.SUM,
        isMonotonic: true,
        dataPoints: dataPoints(number),
      };
    case 'gauge':
      return { descriptor, aggregationTemporality, dataPointType: DataPointType.GAUGE, dataPoints: dataPoints(number) };
    case 'histogram':
      return {
        descriptor,
        aggregationTemporality,
        dataPointType: DataPointType.HISTOGRAM,
        dataPoints: dataPoints((point) => histogram(point, definition)),
      };
  }
}

function number(point: FamilyPoint): number {
  if ('value' in point) return point.value;
  throw new TypeError('A point of a counter or a gauge has buckets instead of a value');
}

function histogram(point: FamilyPoint, definition: MetricDefinition) {
  if ('value' in point)
    throw new TypeError(`A point of the histogram ${definition.name} has a value instead of buckets`);
  return {
    buckets: { boundaries: [...(definition.bounds ?? [])], counts: [...point.buckets] },
    sum: point.sum,
    count: point.count,
  };
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
}
