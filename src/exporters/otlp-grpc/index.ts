/** The `otlp_grpc` exporter: access-log records and metrics over gRPC. */
import type { ExporterFactory, Signal } from '../../collector/component.ts';
import { described, type Infer, object, refine, withDefault } from '../../collector/schema.ts';
import { otlpKeys } from '../otlp/config.ts';
import { lazySender } from '../otlp/lazy-sender.ts';
import { OtlpExporter } from '../otlp/otlp-exporter.ts';
import { readTlsFiles } from '../otlp/tls-files.ts';
import { grpcEndpoint, grpcTarget } from './endpoint.ts';

const METHODS: Readonly<Record<Signal, string>> = {
  logs: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
  metrics: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
};

const schema = refine(
  object({
    endpoint: described(
      'The receiver: host:port (TLS unless tls.insecure), or a URL whose scheme decides',
      withDefault(grpcEndpoint(), 'http://localhost:4317'),
    ),
    ...otlpKeys('5s'),
  }),
  (config, wrong) => {
    if (config.tls.insecure && config.endpoint.startsWith('https:')) {
      wrong(
        'tls.insecure',
        'contradicts the https URL in endpoint. Use host:port for plaintext, or leave insecure away.',
      );
    }
  },
);

export type OtlpGrpcConfig = Infer<typeof schema>;

export const otlpGrpcExporter: ExporterFactory<OtlpGrpcConfig> = {
  kind: 'exporter',
  type: 'otlp_grpc',
  description: 'Sends access-log records and metrics by OTLP over gRPC',
  schema,
  signals: ['logs', 'metrics'],
  accepts: 'identified',
  create(settings, config) {
    const { id: owner, version } = settings;
    const target = grpcTarget(config.endpoint, config.tls.insecure);
    return new OtlpExporter(settings, config, {
      check: () => {
        if (!target.plaintext) readTlsFiles(config.tls, owner);
      },
      // gRPC compresses by itself.
      pack: (request) => Buffer.from(request),
      sender: (signal) =>
        lazySender(target.address, async () => {
          const { GrpcSender } = await import('./grpc-sender.ts');
          const userAgent = `tcpledger/${version}`;
          return new GrpcSender({ ...config, ...target, owner, method: METHODS[signal], userAgent });
        }),
    });
  },
};
