/**
 * The component model, after the OpenTelemetry Collector's: a factory per component type, an instance per configured
 * id, and pipelines that connect receivers → processors → exporters. One instance of an id serves every pipeline and
 * both signals that name it.
 *
 * The two kinds of data that travel are opaque here (the receiver defines them, the identity processor names them):
 * metrics pipelines carry what pairs counted since the last batch, logs pipelines carry connection records.
 */
import type { Logger } from './logger.ts';
import type { Schema } from './schema.ts';
import type { Telemetry } from './telemetry.ts';

export type Signal = 'metrics' | 'logs';

/**
 * Takes a batch. Called on the event loop, must not block and must not keep the batch or its arrays after it returns
 * (the producer reuses them). What cannot be taken is dropped and counted by the consumer; a consumer never throws.
 * At a reload it may be called before `start` has resolved (its predecessor is still letting go of a port or a file)
 * and after `shutdown` has begun.
 */
export interface Consumer<T> {
  consume(batch: T): void;
}

export interface Component {
  /**
   * Resolves when the component works. Rejects with a TcpledgerError if it can't; the agent then stops (at a reload: goes
   * back to the old configuration). `shutdown` is called after a start that failed or is still under way, too, and without
   * one where data has come already (see Consumer).
   */
  start(host: Host): Promise<void>;
  /**
   * Hands on what is in flight and frees everything. Resolves at the latest when `deadline` aborts; what could not be
   * delivered by then is counted as dropped and logged.
   */
  shutdown(deadline: AbortSignal): Promise<void>;
  /** SIGHUP: opens its files anew, so that they can be rotated. Never throws; what fails is logged and the old file kept. */
  reopen?(): void;
}

/** What the running agent offers to its components. */
export interface Host {
  /** The started extension of that id, if the configuration has it. */
  extension(id: string): Component | undefined;
  /** Says whether this component is ready; `missing` is the reason shown on /readyz when it is not. */
  setReady(componentId: string, missing: string | undefined): void;
  /** componentId → what it still waits for. Empty when everything is ready. */
  notReady(): ReadonlyMap<string, string>;
  /** A component met an error it cannot live with: the agent stops with this error's exit code. */
  fail(error: Error): void;
}

/** What every component is created with. */
export interface Settings {
  /** The full id, as `otlp_http/eu`. */
  readonly id: string;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  /** Build version, for resources and build_info. */
  readonly version: string;
}

/** One pipeline, and the place for what its exporters share (the series table): kept over reloads while the id stays. */
export interface Pipeline {
  readonly id: string;
  readonly signal: Signal;
  shared<T>(key: string, create: () => T): T;
}

/** In and out are opaque to the model; a kind is checked when pipelines are built. */
export type DataKind = 'connections' | 'identified';

/** biome-ignore lint/suspicious/noExplicitAny: the component model is opaque to what travels; `DataKind` is its type tag */
export type AnyConsumer = Consumer<any>;

export interface ReceiverOutputs {
  /** undefined: no pipeline of that signal uses this receiver. May be another object after a reload: read it each time. */
  readonly metrics: AnyConsumer | undefined;
  readonly logs: AnyConsumer | undefined;
  /** True when some consumer names a local end by its executable, so pairs must be told apart by it. */
  readonly needsExecutable: boolean;
}

export type Receiver = Component & {
  /** The outputs changed (reload): the receiver adapts without detaching. */
  outputsChanged?(): void;
};

export interface Processor extends Component {
  readonly needsExecutable?: boolean;
  metrics?(next: AnyConsumer, pipeline: Pipeline): AnyConsumer;
  logs?(next: AnyConsumer, pipeline: Pipeline): AnyConsumer;
}

/** Two exporters of a pipeline may return the same consumer (a shared series table): it is then fed once. */
export interface Exporter extends Component {
  metrics?(pipeline: Pipeline): AnyConsumer;
  logs?(pipeline: Pipeline): AnyConsumer;
}

export type Extension = Component;

interface FactoryBase<Config> {
  readonly type: string;
  /** One line for `tcpledger components`. */
  readonly description: string;
  /** Strict shape, types, allowed values and defaults of the configuration section. */
  readonly schema: Schema<Config>;
}

export interface ReceiverFactory<Config = unknown> extends FactoryBase<Config> {
  readonly kind: 'receiver';
  readonly signals: readonly Signal[];
  readonly produces: DataKind;
  create(settings: Settings, config: Config, outputs: ReceiverOutputs): Receiver;
}

export interface ProcessorFactory<Config = unknown> extends FactoryBase<Config> {
  readonly kind: 'processor';
  readonly signals: readonly Signal[];
  readonly accepts: DataKind;
  readonly produces: DataKind;
  create(settings: Settings, config: Config): Processor;
}

export interface ExporterFactory<Config = unknown> extends FactoryBase<Config> {
  readonly kind: 'exporter';
  readonly signals: readonly Signal[];
  readonly accepts: DataKind;
  create(settings: Settings, config: Config): Exporter;
}

export interface ExtensionFactory<Config = unknown> extends FactoryBase<Config> {
  readonly kind: 'extension';
  create(settings: Settings, config: Config): Extension;
}
