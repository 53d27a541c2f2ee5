/** The `otlp_http` exporter: access-log records and metrics as protobuf over HTTP. */
import type { ExporterFactory, Signal } from '../../collector/component.ts';
import { described, type Infer, object, optional, refine, url, withDefault } from '../../collector/schema.ts';
import { otlpKeys } from '../otlp/config.ts';
import { lazySender } from '../otlp/lazy-sender.ts';
import { OtlpExporter } from '../otlp/otlp-exporter.ts';
import { readTlsFiles } from '../otlp/tls-files.ts';
import { packAs } from './packing.ts';

const schema = refine(
  object({
    endpoint: described(
      'Base URL of the receiver; /v1/logs and /v1/metrics are appended',
      withDefault(url(), 'http://localhost:4318'),
    ),
    logs_endpoint: described('Whole URL for logs, instead of endpoint', optional(url())),
    metrics_endpoint: described('Whole URL for metrics, instead of endpoint', optional(url())),
    ...otlpKeys('30s'),
  }),
  (config, wrong) => {
    for (const key of ['endpoint', 'logs_endpoint', 'metrics_endpoint'] as const) {
      if (config.tls.insecure && config[key]?.startsWith('https:')) {
        wrong(
          'tls.insecure',
          `contradicts the https URL in ${key}. Use http:// there for plaintext, or leave insecure away.`,
        );
      }
    }
  },
);

export type OtlpHttpConfig = Infer<typeof schema>;

/** Where a signal goes, as in the Collector: an endpoint of its own, or the base with the signal's path. */
export function signalUrl(
  config: Pick<OtlpHttpConfig, 'endpoint' | 'logs_endpoint' | 'metrics_endpoint'>,
  signal: Signal,
): string {
  const own = signal === 'logs' ? config.logs_endpoint : config.metrics_endpoint;
  return own ?? `${config.endpoint}/v1/${signal}`;
}

export const otlpHttpExporter: ExporterFactory<OtlpHttpConfig> = {
  kind: 'exporter',
  type: 'otlp_http',
  description: 'Sends access-log records and metrics by OTLP over HTTP (protobuf)',
  schema,
  signals: ['logs', 'metrics'],
  accepts: 'identified',
  create(settings, config) {
    const { id: owner, version } = settings;
    return new OtlpExporter(settings, config, {
      check: () => readTlsFiles(config.tls, owner),
      pack: packAs(config.compression),
      sender: (signal) => {
        const url = signalUrl(config, signal);
        return lazySender(url, async () => {
          const { HttpSender } = await import('./http-sender.ts');
          return new HttpSender({ ...config, owner, url, userAgent: `tcpledger/${version}` });
        });
      },
    });
  },
};
