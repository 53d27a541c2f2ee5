/* biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${env:…} is the grammar under test */
/** What `tcpledger validate` says: a table of mistakes, each held to its line, its key path and the words that help. */
import { expect, it } from 'vitest';
import { parseConfig } from '../../../src/collector/config/load.ts';
import { formatMistake } from '../../../src/collector/config/mistake.ts';
import { FACTORIES } from '../factories.ts';

const ENVIRONMENT = { PORT: '15020', EMPTY: '', LIST: '[host, file]', HOST: 'collector.example', WORD: 'soon' };

function linesFor(text: string): string[] {
  return (parseConfig(text, FACTORIES, ENVIRONMENT).mistakes ?? []).map((mistake) =>
    formatMistake('c.yaml', mistake).replace('c.yaml:', ''),
  );
}

/** A right configuration with one section exchanged; the section under test begins on line 1. */
const SECTIONS = {
  receivers: 'receivers: {ebpf_tcp: }',
  processors: 'processors: {identity: }',
  exporters: 'exporters: {prometheus: , access_log: }',
  extensions: '',
  service: `service:
  pipelines:
    metrics: {receivers: [ebpf_tcp], processors: [identity], exporters: [prometheus]}
    logs: {receivers: [ebpf_tcp], processors: [identity], exporters: [access_log]}`,
};

function configWith(sections: Partial<typeof SECTIONS>): string {
  const others = Object.entries(SECTIONS).filter(([key]) => !(key in sections));
  return [...Object.values(sections), ...others.map(([, text]) => text)].join('\n');
}

const receiver = (body: string) => configWith({ receivers: `receivers:\n  ebpf_tcp:\n${body}` });
const identity = (body: string) => configWith({ processors: `processors:\n  identity:\n${body}` });
const page = (body: string) => configWith({ exporters: `exporters:\n  prometheus:\n${body}\n  access_log:` });
const otlp = (body: string) =>
  configWith({
    exporters: `exporters:\n  otlp_http:\n${body}`,
    service: `service:
  pipelines:
    metrics: {receivers: [ebpf_tcp], processors: [identity], exporters: [otlp_http]}`,
  });
const service = (body: string) => configWith({ service: `service:\n${body}` });

const METRICS = '    metrics: {receivers: [ebpf_tcp], processors: [identity], exporters: [prometheus]}';
const LOGS = '    logs: {receivers: [ebpf_tcp], processors: [identity], exporters: [access_log]}';

const TABLE: readonly [name: string, text: string, expected: readonly string[]][] = [
  [
    'unknown key',
    receiver('    setle_interval: 5s'),
    [
      '3:5: receivers.ebpf_tcp.setle_interval: unknown key "setle_interval". Allowed: settle_interval, max_pairs, access_log_buffer, loopback, pin_path, storage. Did you mean "settle_interval"?',
    ],
  ],
  [
    'unknown key far from any',
    receiver('    colour: red'),
    [
      '3:5: receivers.ebpf_tcp.colour: unknown key "colour". Allowed: settle_interval, max_pairs, access_log_buffer, loopback, pin_path, storage.',
    ],
  ],
  [
    'unknown nested key',
    otlp('    endpoint: http://c:4318\n    sending_queue: {que_size: 5}'),
    [
      '4:21: exporters.otlp_http.sending_queue.que_size: unknown key "que_size". Allowed: queue_size, storage. Did you mean "queue_size"?',
    ],
  ],
  [
    'key in a section without keys',
    configWith({
      processors: 'processors:\n  identity:\n  redact: {a: 1}',
      service: `service:\n  pipelines:\n${METRICS}\n    logs: {receivers: [ebpf_tcp], processors: [identity, redact], exporters: [access_log]}`,
    }),
    ['3:12: processors.redact.a: unknown key "a". There are no keys here.'],
  ],
  [
    'duration without unit',
    receiver('    settle_interval: 5'),
    [
      '3:22: receivers.ebpf_tcp.settle_interval: found the number 5. Allowed: a duration such as 5s, 250ms or 1m30s, of at least 100ms. A duration needs a unit: 5s, or 5ms?',
    ],
  ],
  [
    'bad duration',
    receiver('    settle_interval: 200 parsecs'),
    [
      '3:22: receivers.ebpf_tcp.settle_interval: found "200 parsecs". Allowed: a duration such as 5s, 250ms or 1m30s, of at least 100ms.',
    ],
  ],
  [
    'negative duration',
    receiver('    settle_interval: -5s'),
    [
      '3:22: receivers.ebpf_tcp.settle_interval: found "-5s". Allowed: a duration such as 5s, 250ms or 1m30s, of at least 100ms.',
    ],
  ],
  [
    'duration below',
    receiver('    settle_interval: 1ms'),
    [
      '3:22: receivers.ebpf_tcp.settle_interval: found "1ms". Allowed: a duration such as 5s, 250ms or 1m30s, of at least 100ms.',
    ],
  ],
  [
    'duration list',
    receiver('    settle_interval: [5s]'),
    [
      '3:22: receivers.ebpf_tcp.settle_interval: found a list. Allowed: a duration such as 5s, 250ms or 1m30s, of at least 100ms.',
    ],
  ],
  [
    'size without unit',
    receiver('    access_log_buffer: 65536'),
    [
      '3:24: receivers.ebpf_tcp.access_log_buffer: found the number 65536. Allowed: a size such as 16MiB, 4KiB or 512B, of at least 4KiB. A size needs a unit: 65536B, or 65536MiB?',
    ],
  ],
  [
    'decimal size',
    receiver('    access_log_buffer: 16MB'),
    [
      '3:24: receivers.ebpf_tcp.access_log_buffer: found "16MB". Allowed: a size such as 16MiB, 4KiB or 512B, of at least 4KiB. Write the binary unit: 16MiB.',
    ],
  ],
  [
    'size word',
    receiver('    access_log_buffer: big'),
    [
      '3:24: receivers.ebpf_tcp.access_log_buffer: found "big". Allowed: a size such as 16MiB, 4KiB or 512B, of at least 4KiB.',
    ],
  ],
  [
    'size fraction of a byte',
    receiver('    access_log_buffer: 0.3B'),
    [
      '3:24: receivers.ebpf_tcp.access_log_buffer: found "0.3B". Allowed: a size such as 16MiB, 4KiB or 512B, of at least 4KiB.',
    ],
  ],
  [
    'integer as word',
    receiver('    max_pairs: many'),
    ['3:16: receivers.ebpf_tcp.max_pairs: found "many". Allowed: a whole number from 1 to 1000000.'],
  ],
  [
    'integer quoted',
    receiver('    max_pairs: "5"'),
    ['3:16: receivers.ebpf_tcp.max_pairs: found "5". Allowed: a whole number from 1 to 1000000.'],
  ],
  [
    'integer below',
    receiver('    max_pairs: 0'),
    ['3:16: receivers.ebpf_tcp.max_pairs: found the number 0. Allowed: a whole number from 1 to 1000000.'],
  ],
  [
    'integer with fraction',
    receiver('    max_pairs: 1.5'),
    ['3:16: receivers.ebpf_tcp.max_pairs: found the number 1.5. Allowed: a whole number from 1 to 1000000.'],
  ],
  [
    'boolean as word',
    receiver('    loopback: yes'),
    ['3:15: receivers.ebpf_tcp.loopback: found "yes". Allowed: true or false.'],
  ],
  [
    'string as number',
    receiver('    pin_path: 5'),
    ['3:15: receivers.ebpf_tcp.pin_path: found the number 5. Allowed: text. Write it in quotes: "5".'],
  ],
  [
    'string as list',
    receiver('    pin_path: [a]'),
    ['3:15: receivers.ebpf_tcp.pin_path: found a list. Allowed: text.'],
  ],
  [
    'enum',
    configWith({ exporters: 'exporters:\n  prometheus:\n  access_log:\n    format: jsn' }),
    ['4:13: exporters.access_log.format: found "jsn". Allowed: text or json. Did you mean "json"?'],
  ],
  [
    'empty string',
    configWith({ exporters: 'exporters:\n  prometheus:\n  access_log:\n    output: ""' }),
    ['4:13: exporters.access_log.output: found "". Allowed: text that is not empty.'],
  ],
  [
    'list empty',
    identity('    sources: []'),
    [
      '3:14: processors.identity.sources: found an empty list. Allowed: a list that is not empty, each item host or file.',
    ],
  ],
  [
    'list scalar',
    identity('    sources: host'),
    [
      '3:14: processors.identity.sources: found "host". Allowed: a list that is not empty, each item host or file. A list of one is written [host].',
    ],
  ],
  [
    'twice in a list',
    identity('    sources: [host, host]'),
    ['3:21: processors.identity.sources[1]: "host" is in the list already, as item 0.'],
  ],
  [
    'list unknown',
    identity('    sources: [hots]'),
    ['3:15: processors.identity.sources[0]: found "hots". Allowed: host or file. Did you mean "host"?'],
  ],
  [
    'sources: a wrong one is no second one',
    identity('    sources: [host, hots]'),
    ['3:21: processors.identity.sources[1]: found "hots". Allowed: host or file. Did you mean "host"?'],
  ],
  [
    'missing nested',
    identity('    file: {}'),
    ['3:11: processors.identity.file.path: missing. Required: text that is not empty.'],
  ],
  [
    'endpoint no port',
    page('    endpoint: nonsense'),
    [
      '3:15: exporters.prometheus.endpoint: found "nonsense". Allowed: host:port such as localhost:15020 or [::1]:15020, port 1 to 65535.',
    ],
  ],
  [
    'endpoint port range',
    page('    endpoint: localhost:99999'),
    [
      '3:15: exporters.prometheus.endpoint: found "localhost:99999". Allowed: host:port such as localhost:15020 or [::1]:15020, port 1 to 65535.',
    ],
  ],
  [
    'endpoint scheme',
    page('    endpoint: http://localhost:15020/metrics'),
    [
      '3:15: exporters.prometheus.endpoint: found "http://localhost:15020/metrics". Allowed: host:port such as localhost:15020 or [::1]:15020, port 1 to 65535. Leave the scheme away: localhost:15020.',
    ],
  ],
  [
    'endpoint v6',
    page('    endpoint: "::1:15020"'),
    [
      '3:15: exporters.prometheus.endpoint: found "::1:15020". Allowed: host:port such as localhost:15020 or [::1]:15020, port 1 to 65535. An IPv6 address goes in brackets: [::1]:15020.',
    ],
  ],
  [
    'endpoint no host',
    page('    endpoint: ":15020"'),
    [
      '3:15: exporters.prometheus.endpoint: found ":15020". Allowed: host:port such as localhost:15020 or [::1]:15020, port 1 to 65535. Name the host too: 0.0.0.0:15020 for every address, localhost:15020 for this host.',
    ],
  ],
  [
    'endpoint v4',
    page('    endpoint: 256.0.0.1:80'),
    [
      '3:15: exporters.prometheus.endpoint: found "256.0.0.1:80". Allowed: host:port such as localhost:15020 or [::1]:15020, port 1 to 65535.',
    ],
  ],
  [
    'missing required',
    otlp('    timeout: 5s'),
    [
      '3:5: exporters.otlp_http.endpoint: missing. Required: a URL such as http://localhost:4318, scheme http or https.',
    ],
  ],
  [
    'url no scheme',
    otlp('    endpoint: collector:4318'),
    [
      '3:15: exporters.otlp_http.endpoint: found "collector:4318". Allowed: a URL such as http://localhost:4318, scheme http or https. Put the scheme before it: http://collector:4318.',
    ],
  ],
  [
    'url ftp',
    otlp('    endpoint: ftp://collector:4318'),
    [
      '3:15: exporters.otlp_http.endpoint: found "ftp://collector:4318". Allowed: a URL such as http://localhost:4318, scheme http or https.',
    ],
  ],
  [
    'url number',
    otlp('    endpoint: 4318'),
    [
      '3:15: exporters.otlp_http.endpoint: found the number 4318. Allowed: a URL such as http://localhost:4318, scheme http or https.',
    ],
  ],
  [
    'headers list',
    otlp('    endpoint: http://c\n    headers: [a]'),
    ['4:14: exporters.otlp_http.headers: found a list. Allowed: a map from names to text, as {name: value}.'],
  ],
  [
    'headers value map',
    otlp('    endpoint: http://c\n    headers: {a: {b: c}}'),
    ['4:18: exporters.otlp_http.headers.a: found a map. Allowed: text.'],
  ],
  [
    'condition over two keys',
    otlp('    endpoint: http://c\n    tls: {cert_file: a.pem}'),
    ['4:22: exporters.otlp_http.tls.cert_file: stands without key_file. Give both or none.'],
  ],
  [
    'section of wrong type',
    configWith({ receivers: 'receivers:\n  ebpf_tcp: fast' }),
    [
      '2:13: receivers.ebpf_tcp: found "fast". Allowed: a map with the keys settle_interval, max_pairs, access_log_buffer, loopback, pin_path, storage.',
    ],
  ],
  [
    'sections list',
    configWith({ receivers: 'receivers: [ebpf_tcp]' }),
    ['1:12: receivers: found a list. Allowed: a map from the ids of receivers to their sections.'],
  ],
  [
    'unknown top',
    configWith({ extensions: 'extentions: {}' }),
    [
      '1:1: extentions: unknown key "extentions". Allowed: receivers, processors, exporters, extensions, service. Did you mean "extensions"?',
    ],
  ],
  [
    'unknown type',
    configWith({ exporters: 'exporters:\n  promtheus:\n  prometheus:\n  access_log:' }),
    [
      '2:3: exporters.promtheus: unknown exporter type "promtheus". Known: prometheus, access_log, otlp_http. Did you mean "prometheus"?',
    ],
  ],
  [
    'unknown type far',
    configWith({ exporters: 'exporters:\n  kafka:\n  prometheus:\n  access_log:' }),
    ['2:3: exporters.kafka: unknown exporter type "kafka". Known: prometheus, access_log, otlp_http.'],
  ],
  [
    'unknown type other kind',
    configWith({ receivers: 'receivers:\n  prometheus:\n  ebpf_tcp:' }),
    [
      '2:3: receivers.prometheus: unknown receiver type "prometheus". Known: ebpf_tcp, host_metrics. It belongs under exporters.',
    ],
  ],
  [
    'deprecated otlp',
    configWith({ exporters: 'exporters:\n  otlp:\n  prometheus:\n  access_log:' }),
    [
      '2:3: exporters.otlp: unknown exporter type "otlp". Known: prometheus, access_log, otlp_http. Did you mean "otlp_http"?',
    ],
  ],
  [
    'bad id',
    configWith({ exporters: 'exporters:\n  prometheus/:\n  prometheus:\n  access_log:' }),
    ['2:3: exporters.prometheus/: found the id "prometheus/". Allowed: type or type/name, as otlp_http/eu.'],
  ],
  [
    'undefined exporter',
    service(
      `  pipelines:\n    metrics: {receivers: [ebpf_tcp], processors: [identity], exporters: [promethius, prometheus]}\n${LOGS}`,
    ),
    [
      '3:74: service.pipelines.metrics.exporters[0]: names the exporter "promethius", which is not defined under exporters. Defined: prometheus, access_log. Did you mean "prometheus"?',
    ],
  ],
  [
    'undefined in other section',
    service(
      `  pipelines:\n    metrics: {receivers: [ebpf_tcp], processors: [identity, prometheus], exporters: [prometheus]}\n${LOGS}`,
    ),
    [
      '3:61: service.pipelines.metrics.processors[1]: names the processor "prometheus", which is not defined under processors. Defined: identity. prometheus is defined under exporters.',
    ],
  ],
  [
    'unused exporter',
    service(`  pipelines:\n${METRICS}`),
    [
      '6:27: exporters.access_log: the exporter "access_log" is defined but no pipeline uses it. Add it to a pipeline (metrics), or remove it.',
    ],
  ],
  [
    'unused extension',
    configWith({ extensions: 'extensions:\n  file_storage: {directory: /tmp}' }),
    [
      '2:3: extensions.file_storage: the extension "file_storage" is defined but not used. List it in service.extensions, name it where it is needed (as storage: file_storage), or remove it.',
    ],
  ],
  [
    'undefined extension',
    receiver('    storage: file_storage'),
    [
      '3:14: receivers.ebpf_tcp.storage: names the extension "file_storage", which is not defined under extensions. No extensions are defined.',
    ],
  ],
  [
    'undefined service extension',
    service(`  extensions: [file_storage]\n  pipelines:\n${METRICS}\n${LOGS}`),
    [
      '2:16: service.extensions[0]: names the extension "file_storage", which is not defined under extensions. No extensions are defined.',
    ],
  ],
  [
    'bad ext id',
    receiver('    storage: "a b"'),
    [
      '3:14: receivers.ebpf_tcp.storage: found "a b". Allowed: the id of an extension, as file_storage, or "" for none.',
    ],
  ],
  [
    'exporter of the other signal',
    service(
      `  pipelines:\n    metrics: {receivers: [ebpf_tcp], processors: [identity], exporters: [prometheus, access_log]}`,
    ),
    [
      '3:86: service.pipelines.metrics.exporters[1]: the exporter "access_log" does logs only, and this is a pipeline of metrics. For metrics the exporters are: prometheus, otlp_http.',
    ],
  ],
  [
    'receiver of the other signal',
    configWith({
      receivers: 'receivers: {ebpf_tcp: , host_metrics: }',
      service: `service:\n  pipelines:\n${METRICS}\n    logs: {receivers: [ebpf_tcp, host_metrics], processors: [identity], exporters: [access_log]}`,
    }),
    [
      '5:34: service.pipelines.logs.receivers[1]: the receiver "host_metrics" does metrics only, and this is a pipeline of logs. For logs the receivers are: ebpf_tcp.',
    ],
  ],
  [
    'no identity',
    configWith({
      processors: '',
      service: `service:\n  pipelines:\n    metrics: {receivers: [ebpf_tcp], exporters: [prometheus]}\n    logs: {receivers: [ebpf_tcp], exporters: [access_log]}`,
    }),
    [
      '4:50: service.pipelines.metrics.exporters[0]: the exporter "prometheus" takes connections with names and would get connections without names from "ebpf_tcp". Define identity under processors and add identity to service.pipelines.metrics.processors.',
      '5:47: service.pipelines.logs.exporters[0]: the exporter "access_log" takes connections with names and would get connections without names from "ebpf_tcp". Define identity under processors and add identity to service.pipelines.logs.processors.',
    ],
  ],
  [
    'no identity but defined',
    service(`  pipelines:\n    metrics: {receivers: [ebpf_tcp], exporters: [prometheus]}\n${LOGS}`),
    [
      '3:50: service.pipelines.metrics.exporters[0]: the exporter "prometheus" takes connections with names and would get connections without names from "ebpf_tcp". Add identity to service.pipelines.metrics.processors.',
    ],
  ],
  [
    'two identities',
    configWith({
      processors: 'processors: {identity: , identity/2: }',
      service: `service:\n  pipelines:\n    metrics: {receivers: [ebpf_tcp], processors: [identity, identity/2], exporters: [prometheus]}\n${LOGS}`,
    }),
    [
      '4:61: service.pipelines.metrics.processors[1]: the processor "identity/2" takes connections without names and would get connections with names from "identity". No processor of this build turns the one into the other: take it out of this pipeline.',
    ],
  ],
  [
    'no receivers',
    service(`  pipelines:\n    metrics: {processors: [identity], exporters: [prometheus]}\n${LOGS}`),
    ['3:5: service.pipelines.metrics.receivers: missing. Required: at least one of the receivers defined above.'],
  ],
  [
    'no exporters',
    service(`  pipelines:\n    metrics: {receivers: [ebpf_tcp], processors: [identity], exporters: []}\n${LOGS}`),
    [
      '3:62: service.pipelines.metrics.exporters: missing. Required: at least one of the exporters defined above.',
      '7:13: exporters.prometheus: the exporter "prometheus" is defined but no pipeline uses it. Add it to a pipeline (metrics, logs), or remove it.',
    ],
  ],
  [
    'null pipeline',
    service(`  pipelines:\n    metrics:\n${LOGS}`),
    [
      '3:5: service.pipelines.metrics.receivers: missing. Required: at least one of the receivers defined above.',
      '3:5: service.pipelines.metrics.exporters: missing. Required: at least one of the exporters defined above.',
      '7:13: exporters.prometheus: the exporter "prometheus" is defined but no pipeline uses it. Add it to a pipeline (metrics, logs), or remove it.',
    ],
  ],
  [
    'pipeline list',
    service(`  pipelines:\n    metrics: [a]\n${LOGS}`),
    ['3:14: service.pipelines.metrics: found a list. Allowed: a map with the keys receivers, processors, exporters.'],
  ],
  [
    'pipeline unknown key',
    service(
      `  pipelines:\n    metrics: {receivers: [ebpf_tcp], procesors: [identity], exporters: [prometheus]}\n${LOGS}`,
    ),
    [
      '3:38: service.pipelines.metrics.procesors: unknown key "procesors". Allowed: receivers, processors, exporters. Did you mean "processors"?',
      '3:73: service.pipelines.metrics.exporters[0]: the exporter "prometheus" takes connections with names and would get connections without names from "ebpf_tcp". Add identity to service.pipelines.metrics.processors.',
    ],
  ],
  [
    'receivers scalar',
    service(
      `  pipelines:\n    metrics: {receivers: ebpf_tcp, processors: [identity], exporters: [prometheus]}\n${LOGS}`,
    ),
    [
      '3:26: service.pipelines.metrics.receivers: found "ebpf_tcp". Allowed: a list of ids. A list of one is written [ebpf_tcp].',
    ],
  ],
  [
    'id number',
    service(
      `  pipelines:\n    metrics: {receivers: [ebpf_tcp], processors: [identity], exporters: [prometheus, 5]}\n${LOGS}`,
    ),
    ['3:86: service.pipelines.metrics.exporters[1]: found the number 5. Allowed: an id, as otlp_http or otlp_http/eu.'],
  ],
  [
    'twice in a pipeline',
    service(
      `  pipelines:\n    metrics: {receivers: [ebpf_tcp], processors: [identity], exporters: [prometheus, prometheus]}\n${LOGS}`,
    ),
    ['3:86: service.pipelines.metrics.exporters[1]: "prometheus" is in this list already. Name each once.'],
  ],
  [
    'traces',
    service(
      `  pipelines:\n${METRICS}\n${LOGS}\n    traces: {receivers: [ebpf_tcp], processors: [identity], exporters: [prometheus]}`,
    ),
    ['5:5: service.pipelines.traces: found the pipeline id "traces". Allowed: metrics, logs, metrics/NAME, logs/NAME.'],
  ],
  [
    'pipeline id',
    service(
      `  pipelines:\n${METRICS}\n${LOGS}\n    metric/x: {receivers: [ebpf_tcp], processors: [identity], exporters: [prometheus]}`,
    ),
    [
      '5:5: service.pipelines.metric/x: found the pipeline id "metric/x". Allowed: metrics, logs, metrics/NAME, logs/NAME. Did you mean "metrics"?',
    ],
  ],
  [
    'no service',
    configWith({ service: '' }),
    ['2:1: service: missing. Required: service.pipelines, which says what runs.'],
  ],
  [
    'no pipelines',
    service('  telemetry: {logs: {level: info}}'),
    [
      '2:3: service.pipelines: missing. Required: at least one pipeline, a map with pipelines named metrics, logs, metrics/NAME or logs/NAME.',
    ],
  ],
  [
    'empty pipelines',
    service('  pipelines: {}'),
    [
      '2:3: service.pipelines: missing. Required: at least one pipeline, a map with pipelines named metrics, logs, metrics/NAME or logs/NAME.',
    ],
  ],
  [
    'level',
    service(`  telemetry: {logs: {level: trace}}\n  pipelines:\n${METRICS}\n${LOGS}`),
    ['2:29: service.telemetry.logs.level: found "trace". Allowed: debug, info, warn or error.'],
  ],
  [
    'telemetry key',
    service(`  telemetry: {metrics: {level: none}}\n  pipelines:\n${METRICS}\n${LOGS}`),
    ['2:15: service.telemetry.metrics: unknown key "metrics". Allowed: logs.'],
  ],
  ['empty', '', ['1:1: the file is empty. Required: receivers, exporters and service.pipelines.']],
  ['comment only', '# nothing\n', ['1:1: the file is empty. Required: receivers, exporters and service.pipelines.']],
  [
    'scalar root',
    'hello',
    ['1:1: found "hello". Allowed: a map with the keys receivers, processors, exporters, extensions, service.'],
  ],
  [
    'list root',
    '- a',
    ['1:1: found a list. Allowed: a map with the keys receivers, processors, exporters, extensions, service.'],
  ],
  [
    'duplicate key',
    receiver('    max_pairs: 1\n    loopback: true\n    max_pairs: 2'),
    ['5:5: receivers.ebpf_tcp.max_pairs: the key "max_pairs" is there already, on line 3. Keep one of them.'],
  ],
  [
    'duplicate id',
    `exporters:\n  prometheus:\n  access_log:\n  prometheus:\n${configWith({ exporters: '' })}`,
    ['4:3: exporters.prometheus: the key "prometheus" is there already, on line 2. Keep one of them.'],
  ],
  ['tab as indentation', 'receivers:\n\tebpf_tcp:\n', ['2:1: not valid YAML: Tabs are not allowed as indentation.']],
  [
    'unclosed',
    'receivers: {ebpf_tcp: \n',
    ['1:23: not valid YAML: Flow map in block collection must be sufficiently indented and end with a }.'],
  ],
  [
    'two documents',
    `${configWith({})}\n---\na: 1\n`,
    ['10:1: a second YAML document begins before here. Write one configuration a file, without ---.'],
  ],
  [
    'unresolved alias',
    receiver('    max_pairs: *a'),
    ['3:16: receivers.ebpf_tcp.max_pairs: the alias *a names no anchor.'],
  ],
  [
    'self alias',
    'receivers: &a\n  ebpf_tcp: *a\n',
    ['2:13: receivers.ebpf_tcp: the alias *a stands for a part of the file that contains it.'],
  ],
  [
    'bad merge',
    receiver('    <<: 5'),
    ['3:5: receivers.ebpf_tcp: the merge key << stands before what is no map. Allowed: an alias to a map.'],
  ],
  [
    'list key',
    receiver('    ? [a]\n    : b'),
    ['3:7: receivers.ebpf_tcp: a key is a list or a map. Allowed: keys of plain text.'],
  ],
  ['unknown tag', receiver('    pin_path: !secret abc'), ['3:15: not valid YAML: Unresolved tag: !secret.']],
  [
    'unset',
    page('    endpoint: localhost:${env:NOPE}'),
    [
      '3:15: exporters.prometheus.endpoint: the environment variable NOPE is not set. Set it, or write a default: ${env:NOPE:-default}.',
    ],
  ],
  [
    'unset whole',
    receiver('    settle_interval: ${env:NOPE}'),
    [
      '3:22: receivers.ebpf_tcp.settle_interval: the environment variable NOPE is not set. Set it, or write a default: ${env:NOPE:-default}.',
    ],
  ],
  [
    'bad name',
    receiver('    pin_path: ${env:NO-PE}'),
    [
      '3:15: receivers.ebpf_tcp.pin_path: ${env:NO-PE} names no environment variable. Allowed: ${env:NAME}, a name of letters, digits and _.',
    ],
  ],
  [
    'scheme',
    receiver('    pin_path: ${file:/etc/x}'),
    [
      '3:15: receivers.ebpf_tcp.pin_path: ${file:/etc/x} has the scheme "file". Allowed: ${env:NAME} and ${env:NAME:-default}.',
    ],
  ],
  [
    'unclosed brace',
    receiver('    pin_path: "a${env:X"'),
    ['3:15: receivers.ebpf_tcp.pin_path: "${env:X" has no closing brace. Write ${env:NAME}, or $$ for a plain $.'],
  ],
  [
    'env value of wrong type',
    receiver('    max_pairs: ${env:WORD}'),
    ['3:16: receivers.ebpf_tcp.max_pairs: found "soon" (from ${env:WORD}). Allowed: a whole number from 1 to 1000000.'],
  ],
  [
    'env duration no unit',
    receiver('    settle_interval: "${env:PORT}"'),
    [
      '3:22: receivers.ebpf_tcp.settle_interval: found the number 15020 (from ${env:PORT}). Allowed: a duration such as 5s, 250ms or 1m30s, of at least 100ms. A duration needs a unit: 15020s, or 15020ms?',
    ],
  ],
  [
    'env required empty',
    otlp('    endpoint: ${env:EMPTY}'),
    [
      '3:15: exporters.otlp_http.endpoint: missing (${env:EMPTY} is empty). Required: a URL such as http://localhost:4318, scheme http or https.',
    ],
  ],
  [
    'IPv6 endpoint without quotes',
    page('    endpoint: [::1]:15020'),
    ['3:20: not valid YAML: Unexpected scalar at node end.'],
  ],
  [
    'expansion without quotes in braces',
    `exporters:\n  prometheus: {endpoint: \${env:PAGE}}\n${configWith({ exporters: '' })}`,
    [
      expect.stringMatching(
        /^2:27: not valid YAML: Unexpected flow-map-start at node end\. Within { } or \[ \] write it in quotes: "\${env:NAME}"\. \d+ more behind it, which may come of this one\.$/,
      ),
    ],
  ],
  [
    'several mistakes at once, in the order of the file',
    'recievers: {}\nexporters: {kafka: , prometheus: {endpoint: x}}\nservice: {pipelines: {metrics: {receivers: [a], exporters: [prometheus]}}}',
    [
      '1:1: recievers: unknown key "recievers". Allowed: receivers, processors, exporters, extensions, service. Did you mean "receivers"?',
      '2:13: exporters.kafka: unknown exporter type "kafka". Known: prometheus, access_log, otlp_http.',
      '2:45: exporters.prometheus.endpoint: found "x". Allowed: host:port such as localhost:15020 or [::1]:15020, port 1 to 65535.',
      '3:45: service.pipelines.metrics.receivers[0]: names the receiver "a", which is not defined under receivers. No receivers are defined.',
    ],
  ],
  [
    'names of JavaScript objects',
    `__proto__: 1\nconstructor: {}\n${configWith({})}`,
    [
      '1:1: __proto__: unknown key "__proto__". Allowed: receivers, processors, exporters, extensions, service.',
      '2:1: constructor: unknown key "constructor". Allowed: receivers, processors, exporters, extensions, service.',
    ],
  ],
];

it('finds nothing wrong in what is right', () => {
  expect(linesFor(configWith({}))).toEqual([]);
});

it.each(TABLE)('%s', (_name, text, expected) => {
  expect(linesFor(text)).toEqual(expected);
});
