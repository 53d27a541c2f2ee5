/** The components that this build has: the one place where all of them are wired in. */

import type { Factories } from '../collector/config/resolved.ts';
import { fileStorageFactory } from '../collector/file-storage.ts';
import { accessLogExporter } from '../exporters/access-log/exporter.ts';
import { otlpGrpcExporter } from '../exporters/otlp-grpc/index.ts';
import { otlpHttpExporter } from '../exporters/otlp-http/index.ts';
import { prometheusExporter } from '../exporters/prometheus/exporter.ts';
import { identityProcessor } from '../identity/processor.ts';
import { ebpfTcpReceiver } from '../receiver/receiver.ts';
import { AGENT_METRICS } from '../semconv/registry.ts';

export const FACTORIES: Factories = {
  receivers: [ebpfTcpReceiver],
  processors: [identityProcessor],
  exporters: [prometheusExporter, accessLogExporter, otlpHttpExporter, otlpGrpcExporter],
  extensions: [fileStorageFactory(AGENT_METRICS.storageFailures)],
};
