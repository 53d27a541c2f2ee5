/**
 * Metrics as requests of a size that a peer takes and that does not hold the event loop: a node may have 40,000 points,
 * a gRPC peer takes 4 MiB.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Resource } from '@opentelemetry/resources';
import type { MetricData, MetricProducer } from '@opentelemetry/sdk-metrics';
import type { Batch } from './batch.ts';

/** About 1 KiB each. */
const POINTS_PER_REQUEST = 1000;

const MAX_BYTES = 3 * 1024 * 1024;

type MetricsSerializer = typeof import('@opentelemetry/otlp-transformer')['ProtobufMetricsSerializer'];

interface Scope {
  readonly name: string;
  readonly version: string;
}

/** Collects from each producer in a turn of its own and yields its points as requests, in the producers' order. */
export async function* metricsRequests(
  producers: Iterable<MetricProducer>,
  resource: Resource,
  scope: Scope,
): AsyncGenerator<Batch> {
  // Loaded when metrics are first sent: an agent that is only scraped never needs it.
  const { ProtobufMetricsSerializer: serializer } = await import('@opentelemetry/otlp-transformer');
  for (const producer of producers) {
    await nextTurn();
    const { resourceMetrics, errors } = await producer.collect();
    if (errors.length > 0) throw new AggregateError(errors, 'Collecting metrics for OTLP failed');
    const metrics = resourceMetrics.scopeMetrics.flatMap((scopeMetrics) => scopeMetrics.metrics);
    for (const slice of slices(metrics)) {
      await nextTurn();
      yield* requests(serializer, slice, resource, scope);
    }
  }
}

/** One request, or several when its points turn out to be large. */
function* requests(
  serializer: MetricsSerializer,
  metrics: readonly MetricData[],
  resource: Resource,
  scope: Scope,
): Generator<Batch> {
  const items = pointCount(metrics);
  const bytes = serializer.serializeRequest({
    resource,
    scopeMetrics: [{ scope, metrics: [...metrics] }],
  });
  if (bytes === undefined) throw new Error(`The SDK serialized ${items} metric points to nothing`);
  if (bytes.length > MAX_BYTES && items > 1) {
    for (const half of slices(metrics, Math.ceil(items / 2))) yield* requests(serializer, half, resource, scope);
    return;
  }
  yield { body: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), items };
}

/** Parts of at most `size` points; a metric with more is cut, its points stay in order. */
function* slices(metrics: readonly MetricData[], size = POINTS_PER_REQUEST): Generator<MetricData[]> {
  let slice: MetricData[] = [];
  let room = size;
  for (const metric of metrics) {
    for (let at = 0; at < metric.dataPoints.length; ) {
      const end = Math.min(at + room, metric.dataPoints.length);
      slice.push({ ...metric, dataPoints: metric.dataPoints.slice(at, end) } as MetricData);
      room -= end - at;
      at = end;
      if (room > 0) continue;
      yield slice;
      slice = [];
      room = size;
    }
  }
  if (slice.length > 0) yield slice;
}

const pointCount = (metrics: readonly MetricData[]): number =>
  metrics.reduce((count, metric) => count + metric.dataPoints.length, 0);
