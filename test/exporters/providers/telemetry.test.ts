import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { expect, it } from 'vitest';
import { createProviderTelemetry } from '../../../src/exporters/providers/telemetry.ts';
import { AGENT_METRICS } from '../../../src/semconv/registry.ts';
import { sample, samples } from '../support/page.ts';

function createPage() {
  const exporter = new PrometheusExporter({ preventServerStart: true });
  const telemetry = createProviderTelemetry(new MeterProvider({ readers: [exporter] }).getMeter('tcpledger'));
  const serializer = new PrometheusSerializer('', false, undefined, true, true);
  return { telemetry, page: async () => serializer.serialize((await exporter.collect()).resourceMetrics) };
}

it('a counter is there at 0 and adds up under its labels', async () => {
  const { telemetry, page } = createPage();
  const known = telemetry.counter(AGENT_METRICS.identityLookups, { result: 'known' });
  telemetry.counter(AGENT_METRICS.identityLookups, { result: 'unknown' });
  known.add(2);
  telemetry.counter(AGENT_METRICS.identityLookups, { result: 'known' }).add(3);
  const text = await page();
  expect(sample(text, 'tcpledger_identity_lookups_total', { result: 'known' })).toBe(5);
  expect(sample(text, 'tcpledger_identity_lookups_total', { result: 'unknown' })).toBe(0);
});

it("a histogram has the registry's buckets", async () => {
  const { telemetry, page } = createPage();
  telemetry.histogram(AGENT_METRICS.settleDuration).record(0.0004);
  const text = await page();
  expect(sample(text, 'tcpledger_settle_duration_seconds_sum')).toBe(0.0004);
  const bounds = samples(text).flatMap(({ name, labels }) => (name.endsWith('_bucket') ? [labels.le] : []));
  expect(bounds).toEqual([...AGENT_METRICS.settleDuration.bounds!.map(String), '+Inf']);
});

it('a gauge and a counter kept elsewhere are observed until they are taken off', async () => {
  const { telemetry, page } = createPage();
  let entries = 7;
  const offGauge = telemetry.observe(AGENT_METRICS.mapEntries, (report) => report(entries, { map: 'slots' }));
  const offCounter = telemetry.observe(AGENT_METRICS.slotsRecycled, (report) => report(entries * 2));
  expect(sample(await page(), 'tcpledger_map_entries', { map: 'slots' })).toBe(7);
  entries = 5;
  const text = await page();
  expect(sample(text, 'tcpledger_map_entries', { map: 'slots' })).toBe(5);
  expect(sample(text, 'tcpledger_slots_recycled_total')).toBe(10);
  offGauge();
  offCounter();
  entries = 9;
  expect(await page()).not.toContain('tcpledger_map_entries{map="slots"} 9');
});
