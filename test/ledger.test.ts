import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { InMemoryLogRecordExporter, LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { describe, expect, it } from 'vitest';
import type {
  Component,
  Host,
  ProcessorFactory,
  ReceiverFactory,
  ReceiverOutputs,
} from '../src/collector/component.ts';
import { TcpledgerError } from '../src/collector/errors.ts';
import { duration, type Infer, integer, object, withDefault } from '../src/collector/schema.ts';
import type { IdentifiedPairs, IdentifiedRecords } from '../src/identity/types.ts';
import { createLedgerOf, type LedgerOptions } from '../src/ledger.ts';
import type { PairBatch, RecordBatch } from '../src/receiver/types.ts';
import { AGENT_METRICS } from '../src/semconv/registry.ts';
import { connection, createSource } from './exporters/access-log/fixtures.ts';
import { recordingLogger } from './exporters/access-log/recording-logger.ts';
import { sample } from './exporters/support/page.ts';
import { batch, peers } from './exporters/support/pairs.ts';

const receiverSchema = object({
  settle_interval: withDefault(duration({}), '5s'),
  max_pairs: withDefault(integer({ min: 16 }), '32768'),
});
const identitySchema = object({ resolve_timeout: withDefault(duration({}), '5s') });

/** A receiver and an identity processor without a kernel: `steps` is what was called, in order. */
function createParts(failing: { start?: Error } = {}) {
  const steps: string[] = [];
  const seen: { outputs?: ReceiverOutputs; host?: Host; config: unknown[] } = { config: [] };
  const named = peers();
  const component = (name: string): Component => ({
    async start(host) {
      steps.push(`${name} starts`);
      seen.host = host;
      if (name === 'receiver' && failing.start) throw failing.start;
    },
    async shutdown(deadline) {
      steps.push(`${name} stops${deadline.aborted ? ' too late' : ''}`);
    },
  });
  const receiver: ReceiverFactory<Infer<typeof receiverSchema>> = {
    kind: 'receiver',
    type: 'ebpf_tcp',
    description: '',
    schema: receiverSchema,
    signals: ['metrics', 'logs'],
    produces: 'connections',
    create(settings, config, outputs) {
      seen.config.push(config);
      seen.outputs = outputs;
      settings.telemetry.counter(AGENT_METRICS.slotsRecycled).add(4);
      return component('receiver');
    },
  };
  const identity: ProcessorFactory<Infer<typeof identitySchema>> = {
    kind: 'processor',
    type: 'identity',
    description: '',
    schema: identitySchema,
    signals: ['metrics', 'logs'],
    accepts: 'connections',
    produces: 'identified',
    create(_settings, config) {
      seen.config.push(config);
      return {
        ...component('identity'),
        needsExecutable: true,
        metrics: (next) => ({
          consume: (given: PairBatch) =>
            next.consume({ batch: given, peers: Array(given.count).fill(named) } satisfies IdentifiedPairs),
        }),
        logs: (next) => ({
          consume: ({ records, source }: RecordBatch) =>
            next.consume({ records, source, peers: records.map(() => named) } satisfies IdentifiedRecords),
        }),
      };
    },
  };
  return { parts: { receiver, identity, version: '1.2.3' }, steps, seen };
}

function createProviders() {
  const reader = new PrometheusExporter({ preventServerStart: true });
  const logs = new InMemoryLogRecordExporter();
  const serializer = new PrometheusSerializer('', false, undefined, true, true);
  return {
    meterProvider: new MeterProvider({ readers: [reader] }),
    loggerProvider: new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter: logs })] }),
    page: async () => serializer.serialize((await reader.collect()).resourceMetrics),
    logs,
  };
}

describe('a ledger inside another program', () => {
  it('tells what the receiver counts through both providers', async () => {
    const { parts, seen } = createParts();
    const { page, logs, ...providers } = createProviders();
    const ledger = createLedgerOf(parts, providers);
    await ledger.start();
    const { batch: pairs } = batch([{ slot: 1, peers: peers(), counts: { opened: 1, sent: 11, received: 22 } }]);
    seen.outputs!.metrics!.consume(pairs);
    seen.outputs!.logs!.consume({ records: [connection()], source: createSource(new Date(0)) });
    await ledger.shutdown();
    const text = await page();
    expect(sample(text, 'istio_tcp_received_bytes_total', { source_workload: 'client' })).toBe(11);
    expect(sample(text, 'tcpledger_slots_recycled_total')).toBe(4);
    expect(sample(text, 'istio_build', { tag: '1.2.3' })).toBe(1);
    expect(logs.getFinishedLogRecords()).toMatchObject([
      { attributes: { bytes_sent: 11, 'src.workload': 'client-5d4b-fghij' } },
    ]);
    expect(seen.outputs!.needsExecutable).toBe(true);
  });

  it('makes no pipeline for a provider that is not there', () => {
    const providers = createProviders();
    const metricsOnly = createParts();
    createLedgerOf(metricsOnly.parts, { meterProvider: providers.meterProvider });
    expect(metricsOnly.seen.outputs!.metrics).toBeDefined();
    expect(metricsOnly.seen.outputs!.logs).toBeUndefined();
    const logsOnly = createParts();
    createLedgerOf(logsOnly.parts, { loggerProvider: providers.loggerProvider });
    expect(logsOnly.seen.outputs!.metrics).toBeUndefined();
    expect(logsOnly.seen.outputs!.logs).toBeDefined();
    expect(() => createLedgerOf(createParts().parts, {})).toThrow(/pass meterProvider, loggerProvider or both/);
  });

  it('fills in the defaults of the configuration file and takes its units', () => {
    const { parts, seen } = createParts();
    createLedgerOf(parts, { ...createProviders(), receiver: { settle_interval: '250ms' } });
    expect(seen.config).toEqual([{ resolve_timeout: 5000 }, { settle_interval: 250, max_pairs: 32768 }]);
  });

  it('tells every mistake in its options at once', () => {
    const options: LedgerOptions = {
      ...createProviders(),
      receiver: { settle_intervall: '1s', max_pairs: 'many' },
      identity: { resolve_timeout: 5 },
    };
    const create = () => createLedgerOf(createParts().parts, options);
    expect(create).toThrow(TcpledgerError);
    expect(create).toThrow(
      /receiver\.settle_intervall: unknown key.*\n.*receiver\.max_pairs: .*\n.*identity\.resolve_timeout: /,
    );
  });

  it('starts names before connections and stops them after', async () => {
    const { parts, steps } = createParts();
    const ledger = createLedgerOf(parts, createProviders());
    await ledger.start();
    await ledger.shutdown();
    await ledger.shutdown();
    expect(steps).toEqual(['identity starts', 'receiver starts', 'receiver stops', 'identity stops']);
    await expect(ledger.start()).rejects.toThrow(/was started before/);
  });

  it('frees everything when it cannot start', async () => {
    const refusal = new TcpledgerError('TCPL_E_PRIVILEGE', 'no capability CAP_BPF');
    const { parts, steps } = createParts({ start: refusal });
    await expect(createLedgerOf(parts, createProviders()).start()).rejects.toBe(refusal);
    expect(steps).toEqual(['identity starts', 'receiver starts', 'receiver stops', 'identity stops']);
  });

  it('tells the program when it can count no more', async () => {
    const { parts, seen } = createParts();
    const logger = recordingLogger();
    const failures: Error[] = [];
    const onFailure = (error: Error) => void failures.push(error);
    await createLedgerOf(parts, { ...createProviders(), logger, onFailure }).start();
    const error = new Error('the ring is gone');
    seen.host!.fail(error);
    expect(failures).toEqual([error]);
    expect(logger.lines).toEqual(['error the ring is gone']);
  });
});
