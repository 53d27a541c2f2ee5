/** An access_log exporter from its factory, with its configuration as it would stand in the file. */
import { parseDocument } from 'yaml';
import type { Component, Consumer, Host } from '../../../src/collector/component.ts';
import type { LabelValues, Telemetry } from '../../../src/collector/telemetry.ts';
import { accessLogExporter } from '../../../src/exporters/access-log/exporter.ts';
import type { IdentifiedRecords } from '../../../src/identity/types.ts';
import { connection, createSource, peers } from './fixtures.ts';
import { recordingLogger } from './recording-logger.ts';

export const source = createSource(new Date('2026-11-23T16:16:19.000Z'));
const nobody = peers();

/** `count` closed connections; the first has this id. */
export function closes(count: number, firstId: number): IdentifiedRecords {
  const records = Array.from({ length: count }, (_, i) => connection({ connectionId: String(firstId + i) }));
  return { records, peers: records.map(() => nobody), source };
}

export const host: Host = {
  extension: () => undefined,
  setReady: () => undefined,
  notReady: () => new Map(),
  fail: (error) => {
    throw error;
  },
};

/** Counts drops by reason; nothing else of telemetry is used. */
function dropCounter(): { telemetry: Telemetry; dropped: Record<string, number> } {
  const dropped: Record<string, number> = {};
  const unused = () => {
    throw new Error('not used by this exporter');
  };
  const telemetry: Telemetry = {
    counter: (definition, labels: LabelValues = {}) => ({
      add(value) {
        const key = `${definition.name}{${labels.reason}}`;
        dropped[key] = (dropped[key] ?? 0) + value;
      },
    }),
    histogram: unused,
    observe: unused,
    collect: unused,
  };
  return { telemetry, dropped };
}

export function createExporter(config: Record<string, unknown>) {
  const mistakes: string[] = [];
  const node = parseDocument(JSON.stringify(config)).contents ?? undefined;
  const parsed = accessLogExporter.schema.parse(node as never, 'exporters.access_log', (path, _node, message) =>
    mistakes.push(`${path}: ${message}`),
  );
  if (mistakes.length > 0) throw new Error(mistakes.join('\n'));
  const logger = recordingLogger();
  const { telemetry, dropped } = dropCounter();
  const exporter = accessLogExporter.create({ id: 'access_log', logger, telemetry, version: 'test' }, parsed);
  const consumer: Consumer<IdentifiedRecords> = exporter.logs!({} as never);
  return { exporter: exporter as Component & { reopen(): void }, consumer, logger, dropped };
}
