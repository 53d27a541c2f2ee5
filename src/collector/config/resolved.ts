/** A configuration without mistakes: typed, linked and frozen. */
import type { ExporterFactory, ExtensionFactory, ProcessorFactory, ReceiverFactory, Signal } from '../component.ts';
import type { Level } from '../logger.ts';

export interface Factories {
  readonly receivers: readonly ReceiverFactory[];
  readonly processors: readonly ProcessorFactory[];
  readonly exporters: readonly ExporterFactory[];
  readonly extensions: readonly ExtensionFactory[];
}

export type AnyFactory = ReceiverFactory | ProcessorFactory | ExporterFactory | ExtensionFactory;
export type Kind = AnyFactory['kind'];

/** Kind → its section of the file. */
export const SECTIONS = {
  receiver: 'receivers',
  processor: 'processors',
  exporter: 'exporters',
  extension: 'extensions',
} as const satisfies Readonly<Record<Kind, keyof Factories>>;

export const KINDS = Object.keys(SECTIONS) as readonly Kind[];

export interface ComponentConfig<F extends AnyFactory = AnyFactory> {
  /** `otlp_http/eu`; unique within its kind. */
  readonly id: string;
  readonly factory: F;
  /** What the factory's schema made of the section. */
  readonly config: unknown;
  /** The section with defaults as JSON with sorted keys: two that are equal mean the same. */
  readonly canonical: string;
  /** Ids of the extensions that the section names. */
  readonly references: readonly string[];
}

export interface PipelineConfig {
  /** `metrics`, `logs/audit`. */
  readonly id: string;
  readonly signal: Signal;
  /** Ids. */
  readonly receivers: readonly string[];
  readonly processors: readonly string[];
  readonly exporters: readonly string[];
}

export interface ResolvedConfig {
  readonly logLevel: Level;
  readonly receivers: readonly ComponentConfig<ReceiverFactory>[];
  readonly processors: readonly ComponentConfig<ProcessorFactory>[];
  readonly exporters: readonly ComponentConfig<ExporterFactory>[];
  /** In the order in which they start: those of `service.extensions`, then those that are only referred to. */
  readonly extensions: readonly ComponentConfig<ExtensionFactory>[];
  readonly pipelines: readonly PipelineConfig[];
}
