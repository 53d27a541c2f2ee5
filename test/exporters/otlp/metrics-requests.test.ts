import { ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { describe, expect, it } from 'vitest';
import { seriesTableProducer } from '../../../src/exporters/otel-metrics-adapter.ts';
import type { Batch } from '../../../src/exporters/otlp/batch.ts';
import { metricsRequests } from '../../../src/exporters/otlp/metrics-requests.ts';
import { tableProducers } from '../../../src/exporters/otlp/table-producers.ts';
import { SeriesTable } from '../../../src/exporters/series-table.ts';
import { batch, peers, workload } from '../support/pairs.ts';
import { attributesOf, decode } from './support/protobuf.ts';

const RESOURCE = resourceFromAttributes({ 'service.name': 'tcpledger' });
const SCOPE = { name: 'tcpledger', version: '1.2.3' };

function tableOf(count: number, name = (i: number) => `client-${i}`): SeriesTable {
  const table = new SeriesTable({ version: '1.2.3' });
  const rows = Array.from({ length: count }, (_, i) => ({
    slot: i + 1,
    peers: peers({ source: workload(name(i)) }),
    counts: { opened: i, sent: i, failed: 1, duration: 5e6 },
  }));
  table.consume(batch(rows, {}));
  return table;
}

async function requestsOf(table: SeriesTable): Promise<Batch[]> {
  const requests: Batch[] = [];
  for await (const request of metricsRequests(tableProducers(table), RESOURCE, SCOPE)) requests.push(request);
  return requests;
}

/** Each point as text with its metric's name and type, without the time of the collection. */
function points(requests: readonly Uint8Array[]): string[] {
  return requests.flatMap(
    (request) =>
      // biome-ignore-start lint/suspicious/noExplicitAny: decoded protobuf
      decode('ExportMetricsServiceRequest', request).resourceMetrics.flatMap((r: any) =>
        r.scopeMetrics.flatMap((s: any) =>
          s.metrics.flatMap((m: any) => {
            const { dataPoints, ...rest } = m[m.data];
            return dataPoints.map(({ attributes, timeUnixNano: _, ...point }: any) =>
              JSON.stringify([
                attributesOf(r.resource.attributes),
                s.scope,
                m.name,
                m.unit,
                m.description,
                rest,
                attributesOf(attributes),
                point,
              ]),
            );
          }),
        ),
      ),
    // biome-ignore-end lint/suspicious/noExplicitAny: decoded protobuf
  );
}

describe('metricsRequests', () => {
  it('cuts into requests that hold every point once, as the SDK serializes them in one', async () => {
    const table = tableOf(700);
    const requests = await requestsOf(table);
    expect(requests.length).toBeGreaterThan(5);
    const { resourceMetrics } = await seriesTableProducer(table).collect();
    const whole = ProtobufMetricsSerializer.serializeRequest({
      resource: RESOURCE,
      scopeMetrics: [{ scope: SCOPE, metrics: resourceMetrics.scopeMetrics[0]!.metrics }],
    })!;
    const cut = points(requests.map(({ body }) => body));
    expect(cut.toSorted()).toEqual(points([whole]).toSorted());
    expect(requests.reduce((sum, { items }) => sum + items, 0)).toBe(cut.length);
    for (const { items } of requests) expect(items).toBeLessThanOrEqual(1000);
  });

  it('cuts further where points are large, so that a gRPC peer takes them', async () => {
    const requests = await requestsOf(tableOf(400, (i) => `${'long'.repeat(1000)}-${i}`));
    for (const { body } of requests) expect(body.length).toBeLessThan(4 * 1024 * 1024);
    const all = points(requests.map(({ body }) => body));
    expect(new Set(all).size).toBe(all.length);
    expect(all.length).toBe(requests.reduce((sum, { items }) => sum + items, 0));
  });

  it('makes no request of nothing', async () => {
    const empty = { collect: async () => ({ resourceMetrics: { resource: RESOURCE, scopeMetrics: [] }, errors: [] }) };
    for await (const _ of metricsRequests([empty], RESOURCE, SCOPE)) expect.unreachable();
  });

  it('says what failed when a producer fails', async () => {
    const failing = {
      collect: async () => ({
        resourceMetrics: { resource: RESOURCE, scopeMetrics: [] },
        errors: [new Error('broken')],
      }),
    };
    await expect(metricsRequests([failing], RESOURCE, SCOPE).next()).rejects.toThrow(
      /Collecting metrics for OTLP failed/,
    );
  });
});
