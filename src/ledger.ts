/**
 * The whole way of the data inside another program: receiver → identity → the program's own OpenTelemetry providers.
 * No configuration file, no pages, no exporters of ours.
 */
import { createNoopMeter, type MeterProvider } from '@opentelemetry/api';
import type { LoggerProvider } from '@opentelemetry/api-logs';
import { type Node, parseDocument } from 'yaml';
import type {
  Component,
  Host,
  Pipeline,
  ProcessorFactory,
  ReceiverFactory,
  ReceiverOutputs,
  Settings,
  Signal,
} from './collector/component.ts';
import { TcpledgerError } from './collector/errors.ts';
import { createLogger, type Logger } from './collector/logger.ts';
import type { Schema } from './collector/schema.ts';
import { createLogRecords } from './exporters/providers/log-records.ts';
import { createPairMetrics } from './exporters/providers/pair-metrics.ts';
import { createProviderTelemetry } from './exporters/providers/telemetry.ts';

const SCOPE = 'tcpledger';

export interface LedgerOptions {
  /** Gets the instruments. Without it there are no metrics. One ledger a provider: two would observe the same series. */
  readonly meterProvider?: MeterProvider;
  /** Gets the connection records. Without it there are none, and the kernel makes none. */
  readonly loggerProvider?: LoggerProvider;
  /** Keys of `receivers.ebpf_tcp` (README), as in the configuration file: `{ settle_interval: '1s' }`. Without `storage`. */
  readonly receiver?: Readonly<Record<string, unknown>>;
  /** Keys of `processors.identity`: `{ sources: ['file'], file: { path: './workloads.yaml' } }`. */
  readonly identity?: Readonly<Record<string, unknown>>;
  /** Messages about the ledger itself; by default warnings and errors go to stderr. */
  readonly logger?: Logger;
  /** Called when a running ledger can't go on; it counts no more, and `shutdown` is what remains to be done. */
  readonly onFailure?: (error: Error) => void;
}

export interface Ledger {
  /** Resolves when every connection is counted from now on. Rejects with a TcpledgerError (`code`) if it can't be. */
  start(): Promise<void>;
  /**
   * Hands on what is counted and detaches from the kernel. The providers stay the program's: flush and shut them down
   * afterwards. `deadlineMs`: milliseconds it may take, 10 s by default.
   */
  shutdown(deadlineMs?: number): Promise<void>;
}

export interface LedgerParts {
  // biome-ignore lint/suspicious/noExplicitAny: each factory knows its own configuration
  readonly receiver: ReceiverFactory<any>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly identity: ProcessorFactory<any>;
  readonly version: string;
}

const DEADLINE_MS = 10_000;

/** @throws TcpledgerError TCPL_E_CONFIG with every mistake in the options, TCPL_E_ARGUMENTS without a provider. */
export function createLedgerOf(parts: LedgerParts, options: LedgerOptions): Ledger {
  const { meterProvider, loggerProvider } = options;
  if (meterProvider === undefined && loggerProvider === undefined) {
    throw new TcpledgerError(
      'TCPL_E_ARGUMENTS',
      'cannot create a ledger without a provider: nobody would get what it counts; pass meterProvider, loggerProvider or both',
    );
  }
  const logger =
    options.logger ??
    createLogger(
      SCOPE,
      () => 'warn',
      (line) => void process.stderr.write(line),
    );
  const [receiverConfig, identityConfig] = parseOptions([
    ['receiver', parts.receiver.schema, options.receiver],
    ['identity', parts.identity.schema, options.identity],
  ]);
  const meter = meterProvider?.getMeter(SCOPE, parts.version) ?? createNoopMeter();
  const telemetry = createProviderTelemetry(meter);
  const settings = (id: string): Settings => ({ id, logger, telemetry, version: parts.version });

  const identity = parts.identity.create(settings(parts.identity.type), identityConfig);
  const metrics =
    meterProvider && identity.metrics?.(createPairMetrics(meter, telemetry, parts.version), pipeline('metrics'));
  const logs =
    loggerProvider &&
    identity.logs?.(createLogRecords(loggerProvider.getLogger(SCOPE, parts.version)), pipeline('logs'));
  const outputs: ReceiverOutputs = { metrics, logs, needsExecutable: identity.needsExecutable ?? false };
  const receiver = parts.receiver.create(settings(parts.receiver.type), receiverConfig, outputs);

  // Names must be known before there is anything to name, and are needed until the last batch.
  return createLifecycle([identity, receiver], createHost(logger, options.onFailure));
}

type Part = readonly [name: string, schema: Schema<unknown>, value: unknown];

/** Plain objects through the schemas of the configuration file: the same checks, the same defaults. */
function parseOptions(sections: readonly Part[]): unknown[] {
  const mistakes: string[] = [];
  const values = sections.map(([name, schema, value]) => {
    // JSON is YAML: the schemas read nodes.
    const node = value === undefined ? undefined : (parseDocument(JSON.stringify(value)).contents as Node | null);
    return schema.parse(node ?? undefined, name, (path, _node, message) => mistakes.push(`${path}: ${message}`));
  });
  if (mistakes.length === 0) return values;
  throw new TcpledgerError('TCPL_E_CONFIG', `cannot create a ledger from these options:\n  ${mistakes.join('\n  ')}`);
}

function pipeline(signal: Signal): Pipeline {
  const things = new Map<string, unknown>();
  return {
    id: signal,
    signal,
    shared<T>(key: string, create: () => T): T {
      if (!things.has(key)) things.set(key, create());
      return things.get(key) as T;
    },
  };
}

function createHost(logger: Logger, onFailure: LedgerOptions['onFailure']): Host {
  const waiting = new Map<string, string>();
  return {
    extension: () => undefined,
    setReady(id, missing) {
      if (missing === undefined) waiting.delete(id);
      else waiting.set(id, missing);
    },
    notReady: () => waiting,
    fail(error) {
      logger.error(error.message);
      onFailure?.(error);
    },
  };
}

/** Starts in the order given, stops in the opposite one. */
function createLifecycle(components: readonly Component[], host: Host): Ledger {
  const started: Component[] = [];
  let starts = 0;
  const stop = async (deadline: AbortSignal) => {
    for (let component = started.pop(); component !== undefined; component = started.pop()) {
      await component.shutdown(deadline);
    }
  };
  return {
    async start() {
      if (starts++ > 0) {
        throw new TcpledgerError(
          'TCPL_E_ARGUMENTS',
          'cannot start this ledger: it was started before; create another one',
        );
      }
      try {
        for (const component of components) {
          started.push(component);
          await component.start(host);
        }
      } catch (error) {
        await stop(AbortSignal.timeout(DEADLINE_MS));
        throw error;
      }
    },
    shutdown: (deadlineMs = DEADLINE_MS) => stop(AbortSignal.timeout(deadlineMs)),
  };
}
