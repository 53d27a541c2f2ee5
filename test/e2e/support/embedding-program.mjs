/**
 * A program that embeds the package as its documentation says, with stock providers. Arguments: the ledger's options as
 * JSON, and the file to which each log record goes as a line of JSON. Over its channel it says `ready`, answers `page`
 * with the Prometheus page, and on `stop` ends.
 */
import { appendFileSync } from 'node:fs';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { createLedger } from 'tcpledger';

const [options, recordsFile] = process.argv.slice(2);

/** @type {import('@opentelemetry/sdk-logs').LogRecordExporter} */
const toFile = {
  export(records, done) {
    for (const { eventName, severityNumber, body, attributes } of records) {
      appendFileSync(recordsFile, `${JSON.stringify({ eventName, severityNumber, body, attributes })}\n`);
    }
    done({ code: 0 });
  },
  forceFlush: async () => {},
  shutdown: async () => {},
};

const reader = new PrometheusExporter({ preventServerStart: true });
const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);
const meterProvider = new MeterProvider({ readers: [reader] });
const loggerProvider = new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter: toFile })] });

const ledger = createLedger({ meterProvider, loggerProvider, ...JSON.parse(options) });
await ledger.start();

// whoever started it was killed
const orphaned = () => process.exit(1);
process.once('disconnect', orphaned);
process.on('message', async (message) => {
  if (message === 'page') {
    const { resourceMetrics } = await reader.collect();
    process.send({ page: serializer.serialize(resourceMetrics) });
  }
  if (message === 'stop') {
    await ledger.shutdown();
    await Promise.all([meterProvider.shutdown(), loggerProvider.shutdown()]);
    process.off('disconnect', orphaned);
    process.disconnect();
  }
});
process.send('ready');
