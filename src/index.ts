/**
 * tcpledger as a library: an exact ledger of every TCP connection on this node, told through a program's own
 * OpenTelemetry providers. Linux, as root or with CAP_BPF and CAP_PERFMON.
 *
 *     import { createLedger } from 'tcpledger';
 *     import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
 *     import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
 *     import { MeterProvider } from '@opentelemetry/sdk-metrics';
 *
 *     const meterProvider = new MeterProvider({ readers: [new PrometheusExporter({ port: 9464 })] });
 *     const loggerProvider = new LoggerProvider({ processors: [new BatchLogRecordProcessor({ exporter })] });
 *
 *     const ledger = createLedger({ meterProvider, loggerProvider, receiver: { settle_interval: '1s' } });
 *     await ledger.start();
 *     // … every connection of the node: istio_tcp_* and tcp_* metrics, one log record a connection …
 *     await ledger.shutdown();
 *     await Promise.all([meterProvider.shutdown(), loggerProvider.shutdown()]);
 *
 * This is the stock path: real instruments and log records. A stock counter takes microseconds where the agent's own
 * series table takes nanoseconds, and has the limits of exporters/providers/pair-metrics.ts: for a busy node run the agent.
 *
 * A program with a pipeline of its own takes the factories: `ebpfTcpReceiver` counts, `identityProcessor` names.
 */
import { VERSION } from './build-info.ts';
import { identityProcessor } from './identity/processor.ts';
import { createLedgerOf, type Ledger, type LedgerOptions } from './ledger.ts';
import { ebpfTcpReceiver } from './receiver/receiver.ts';

/** @throws TcpledgerError TCPL_E_CONFIG with every mistake in the options, TCPL_E_ARGUMENTS without a provider. */
export function createLedger(options: LedgerOptions): Ledger {
  return createLedgerOf({ receiver: ebpfTcpReceiver, identity: identityProcessor, version: VERSION }, options);
}

export type {
  Component,
  Consumer,
  Host,
  Pipeline,
  Processor,
  ProcessorFactory,
  Receiver,
  ReceiverFactory,
  ReceiverOutputs,
  Settings,
} from './collector/component.ts';
export { ERROR_CODES, type ErrorCode, TcpledgerError } from './collector/errors.ts';
export { createLogger, type Level, type Logger } from './collector/logger.ts';
export type { Schema } from './collector/schema.ts';
export type { Telemetry } from './collector/telemetry.ts';
export { createProviderTelemetry } from './exporters/providers/telemetry.ts';
export type { IdentityConfig } from './identity/processor.ts';
export type { IdentifiedPairs, IdentifiedRecords, Peers, Service, Workload } from './identity/types.ts';
export type { Ledger, LedgerOptions } from './ledger.ts';
export type { ReceiverConfig } from './receiver/config.ts';
export type { ConnectionRecord, Pair, PairBatch, PairSource, RecordBatch } from './receiver/types.ts';
export { counterColumn, errorColumn, histogramColumn, PAIR_COUNTERS, PAIR_STRIDE } from './semconv/pair-fields.ts';
export { ebpfTcpReceiver, identityProcessor };
