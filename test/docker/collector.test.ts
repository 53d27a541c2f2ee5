/** docker/collector.yaml against a real Collector. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { collectorMissing, collectorObjections } from '../peers/collector.ts';

const shipped = () => parse(readFileSync('docker/collector.yaml', 'utf8'));

/** The tests' Collector has no prometheus receiver (it is nearly all of the build time): without it and its pipeline. */
function withoutScraping(): ReturnType<typeof shipped> {
  const config = shipped();
  delete config.receivers.prometheus;
  delete config.service.pipelines['metrics/scraped'];
  return config;
}

const missing = collectorMissing();

describe('docker/collector.yaml', () => {
  it.skipIf(missing)(`is accepted by the Collector${missing ? ` (skipped: ${missing})` : ''}`, () => {
    expect(collectorObjections(stringify(withoutScraping()))).toBe('');
  });

  it.skipIf(missing)('would not be if something in it were wrong', () => {
    const config = withoutScraping();
    config.service.pipelines.logs.exporters.push('nowhere');
    expect(collectorObjections(stringify(config))).toContain('nowhere');
  });

  it('scrapes the port of docker/agent.yaml and receives where that sends to', () => {
    const agent = parse(readFileSync('docker/agent.yaml', 'utf8'));
    const { receivers } = shipped();
    const port = (endpoint: string) => endpoint.split(':').at(-1);
    const [{ static_configs }] = receivers.prometheus.config.scrape_configs;
    expect(port(static_configs[0].targets[0])).toBe(port(agent.exporters.prometheus.endpoint));
    expect(port(receivers.otlp.protocols.grpc.endpoint)).toBe(port(agent.exporters.otlp_grpc.endpoint));
  });
});
