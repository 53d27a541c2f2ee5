/** An OTLP exporter as the agent runs it: configured by YAML, wired to pipelines, fed with records. */
import { parseDocument } from 'yaml';
import type { Component, ExporterFactory } from '../../../../src/collector/component.ts';
import type { IdentifiedPairs, IdentifiedRecords } from '../../../../src/identity/types.ts';
import { AGENT_METRICS } from '../../../../src/semconv/registry.ts';
import { fakeAgent, fakePipeline } from './agent.ts';

/** The configuration section, or the mistakes in it. */
export function parseConfig<T>(factory: ExporterFactory<T>, yaml: string): { config: T; mistakes: string[] } {
  const mistakes: string[] = [];
  const node = parseDocument(yaml).contents ?? undefined;
  const path = `exporters.${factory.type}`;
  const config = factory.schema.parse(node as never, path, (at, _node, message) => mistakes.push(`${at}: ${message}`));
  return { config, mistakes };
}

export function createExporter<T>(
  factory: ExporterFactory<T>,
  yaml: string,
  extensions: Record<string, Component> = {},
) {
  const { config, mistakes } = parseConfig(factory, yaml);
  if (mistakes.length > 0) throw new Error(mistakes.join('\n'));
  const { settings, telemetry, log, host } = fakeAgent(factory.type, extensions);
  const exporter = factory.create(settings, config);
  const counts = (signal: 'logs' | 'metrics') => {
    const labels = { exporter: settings.id, signal };
    return {
      sent: telemetry.count(AGENT_METRICS.exportSent, labels),
      failed: telemetry.count(AGENT_METRICS.exportFailed, labels),
      dropped: telemetry.count(AGENT_METRICS.exportDropped, labels),
    };
  };
  const queue = () => ({
    size: telemetry.observed(AGENT_METRICS.exportQueueSize),
    capacity: telemetry.observed(AGENT_METRICS.exportQueueCapacity),
  });
  return { exporter, log, host, counts, queue };
}

/** The same, started and with a consumer for each signal that is asked for. */
export async function runExporter<T>(
  factory: ExporterFactory<T>,
  yaml: string,
  options: {
    readonly extensions?: Record<string, Component>;
    readonly metrics?: boolean;
    readonly logs?: boolean;
  } = {},
) {
  const parts = createExporter(factory, yaml, options.extensions);
  const logs = options.logs === false ? undefined : parts.exporter.logs!(fakePipeline('logs'));
  const metrics = options.metrics === true ? parts.exporter.metrics!(fakePipeline('metrics')) : undefined;
  await parts.exporter.start(parts.host);
  return {
    ...parts,
    consumeLogs: (batch: IdentifiedRecords) => logs!.consume(batch),
    consumePairs: (batch: IdentifiedPairs) => metrics!.consume(batch),
  };
}

/** Retries that take milliseconds instead of seconds. */
export const FAST_RETRY = 'retry_on_failure: {initial_interval: 5ms, max_interval: 20ms}';
