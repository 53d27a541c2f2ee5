/** Small factories with the grammar of the real components; what they create does nothing. */
import type {
  Component,
  ExporterFactory,
  ExtensionFactory,
  ProcessorFactory,
  ReceiverFactory,
} from '../../src/collector/component.ts';
import type { Factories } from '../../src/collector/config/resolved.ts';
import {
  boolean,
  described,
  duration,
  endpoint,
  extensionId,
  integer,
  listOf,
  mapOfStrings,
  object,
  oneOf,
  optional,
  refine,
  size,
  string,
  url,
  withDefault,
} from '../../src/collector/schema.ts';

const idle = (): Component => ({ start: async () => {}, shutdown: async () => {} });

const ebpfTcp: ReceiverFactory = {
  kind: 'receiver',
  type: 'ebpf_tcp',
  description: 'TCP connections of this node, from the kernel',
  signals: ['metrics', 'logs'],
  produces: 'connections',
  schema: object({
    settle_interval: described('Open connections are at most this old', withDefault(duration({ min: '100ms' }), '5s')),
    max_pairs: described('Slots', withDefault(integer({ min: 1, max: 1_000_000 }), '32768')),
    access_log_buffer: described('Ring', withDefault(size({ min: '4KiB' }), '16MiB')),
    loopback: described('Count loopback too', withDefault(boolean(), 'true')),
    pin_path: described('Where maps are pinned', withDefault(string({ empty: true }), '""')),
    storage: described('Keeps labels', withDefault(extensionId(), '""')),
  }),
  create: idle,
};

const hostMetrics: ReceiverFactory = {
  kind: 'receiver',
  type: 'host_metrics',
  description: 'Metrics only',
  signals: ['metrics'],
  produces: 'identified',
  schema: object({}),
  create: idle,
};

const identity: ProcessorFactory = {
  kind: 'processor',
  type: 'identity',
  description: 'Names both ends',
  signals: ['metrics', 'logs'],
  accepts: 'connections',
  produces: 'identified',
  schema: object({
    sources: described(
      'First match wins',
      withDefault(listOf(oneOf(['host', 'file']), { nonEmpty: true, unique: true }), '[host]'),
    ),
    file: described('The file source', optional(object({ path: described('The file', string()) }))),
  }),
  create: idle,
};

const redact: ProcessorFactory = {
  kind: 'processor',
  type: 'redact',
  description: 'Logs only',
  signals: ['logs'],
  accepts: 'identified',
  produces: 'identified',
  schema: object({}),
  create: idle,
};

const prometheus: ExporterFactory = {
  kind: 'exporter',
  type: 'prometheus',
  description: 'The page',
  signals: ['metrics'],
  accepts: 'identified',
  schema: object({ endpoint: described('Where it listens', withDefault(endpoint(), 'localhost:15020')) }),
  create: idle,
};

const accessLog: ExporterFactory = {
  kind: 'exporter',
  type: 'access_log',
  description: 'Lines',
  signals: ['logs'],
  accepts: 'identified',
  schema: object({
    format: described('Of a line', withDefault(oneOf(['text', 'json']), 'text')),
    output: described('stdout or a file', withDefault(string(), 'stdout')),
  }),
  create: idle,
};

const tls = refine(
  object({
    cert_file: withDefault(string({ empty: true }), '""'),
    key_file: withDefault(string({ empty: true }), '""'),
  }),
  (value, wrong) => {
    if (value.cert_file !== '' && value.key_file === '')
      wrong('cert_file', 'stands without key_file. Give both or none.');
  },
);

const otlpHttp: ExporterFactory = {
  kind: 'exporter',
  type: 'otlp_http',
  description: 'OTLP',
  signals: ['metrics', 'logs'],
  accepts: 'identified',
  schema: object({
    endpoint: described('Of the collector', url()),
    timeout: described('Of an attempt', withDefault(duration(), '10s')),
    headers: described('Sent along', withDefault(mapOfStrings(), '{}')),
    tls,
    sending_queue: object({
      queue_size: described('Batches', withDefault(integer({ min: 1 }), '1000')),
      storage: described('Survives restarts', withDefault(extensionId(), '""')),
    }),
  }),
  create: idle,
};

const fileStorage: ExtensionFactory = {
  kind: 'extension',
  type: 'file_storage',
  description: 'Journals',
  schema: object({ directory: described('Where they are', string()) }),
  create: idle,
};

export const FACTORIES: Factories = {
  receivers: [ebpfTcp, hostMetrics],
  processors: [identity, redact],
  exporters: [prometheus, accessLog, otlpHttp],
  extensions: [fileStorage],
};
