/** Fake components that write down what happens to them, and a service around them. */
import type {
  AnyConsumer,
  Component,
  ExporterFactory,
  ExtensionFactory,
  Host,
  Pipeline,
  ProcessorFactory,
  ReceiverFactory,
  ReceiverOutputs,
  Settings,
} from '../../../src/collector/component.ts';
import { parseConfig } from '../../../src/collector/config/load.ts';
import type { Factories } from '../../../src/collector/config/resolved.ts';
import { extensionId, integer, object, oneOf, withDefault } from '../../../src/collector/schema.ts';
import { createService } from '../../../src/collector/service/service.ts';
import { createTelemetry } from '../../../src/collector/telemetry-store.ts';

/** A tag that makes creation fail. */
export const UNMAKEABLE = 13;

const BEHAVIOURS = ['well', 'fails', 'hangs', 'throws'] as const;
type Behaviour = (typeof BEHAVIOURS)[number];

const COMMON = {
  tag: withDefault(integer(), '0'),
  start: withDefault(oneOf(BEHAVIOURS), 'well'),
  stop: withDefault(oneOf(BEHAVIOURS), 'well'),
  /** 0: none. Taken at the start as a listener takes a port: two at once do not go. */
  port: withDefault(integer(), '0'),
  storage: withDefault(extensionId(), '""'),
};

interface Config {
  readonly tag: number;
  readonly start: Behaviour;
  readonly stop: Behaviour;
  readonly port: number;
  readonly storage: string;
}

export class World {
  readonly events: string[] = [];
  readonly log: string[] = [];
  readonly outputs = new Map<string, ReceiverOutputs>();
  readonly hosts = new Map<string, Host>();
  readonly #ports = new Set<number>();
  text = '';

  readonly service = createService({
    configFile: 'c.yaml',
    load: async () => parseConfig(this.text, this.factories(), {}),
    write: (line) => this.log.push(line.split('\t').slice(1).join(' ').trimEnd()),
    telemetry: createTelemetry((name, error) => {
      throw new Error(`observing ${name} failed`, { cause: error });
    }),
    version: '1.2.3',
  });

  /** What has happened since the last call. */
  take(): string[] {
    return this.events.splice(0);
  }

  factories(): Factories {
    const receiver: ReceiverFactory<Config> = {
      kind: 'receiver',
      type: 'rec',
      description: '',
      signals: ['metrics', 'logs'],
      produces: 'connections',
      schema: object(COMMON),
      create: (settings, config, outputs) => {
        this.outputs.set(settings.id, outputs);
        return {
          ...this.#component(settings, config),
          outputsChanged: () => void this.events.push(`${settings.id} outputs changed`),
        };
      },
    };
    const processor: ProcessorFactory<Config> = {
      kind: 'processor',
      type: 'proc',
      description: '',
      signals: ['metrics', 'logs'],
      accepts: 'connections',
      produces: 'identified',
      schema: object(COMMON),
      create: (settings, config) => {
        const wrap = (next: AnyConsumer): AnyConsumer => ({
          consume: (batch) => next.consume(`${batch}>${settings.id}#${config.tag}`),
        });
        return { ...this.#component(settings, config), needsExecutable: config.tag === 7, metrics: wrap, logs: wrap };
      },
    };
    const exporter: ExporterFactory<Config> = {
      kind: 'exporter',
      type: 'exp',
      description: '',
      signals: ['metrics', 'logs'],
      accepts: 'identified',
      schema: object(COMMON),
      create: (settings, config) => {
        const consumer = {
          consume: (batch: unknown) => void this.events.push(`${batch}>${settings.id}#${config.tag}`),
        };
        return { ...this.#component(settings, config), metrics: () => consumer, logs: () => consumer };
      },
    };
    const table: ExporterFactory<Config> = {
      ...exporter,
      type: 'table',
      create: (settings, config) => ({
        ...this.#component(settings, config),
        metrics: (pipeline: Pipeline) =>
          pipeline.shared('table', () => {
            this.events.push(`table of ${pipeline.id}`);
            return { consume: (batch: unknown) => void this.events.push(`${batch}>table`) };
          }),
      }),
      signals: ['metrics'],
    };
    const extension: ExtensionFactory<Config> = {
      kind: 'extension',
      type: 'ext',
      description: '',
      schema: object(COMMON),
      create: (settings, config) => this.#component(settings, config),
    };
    return { receivers: [receiver], processors: [processor], exporters: [exporter, table], extensions: [extension] };
  }

  #component({ id }: Settings, { tag, start, stop, port, storage }: Config): Component {
    const name = `${id}#${tag}`;
    if (tag === UNMAKEABLE) throw new Error(`${name} cannot be made`);
    let held = false;
    return {
      start: async (host) => {
        this.hosts.set(id, host);
        const uses =
          storage === '' ? '' : ` with ${storage} ${host.extension(storage) === undefined ? 'absent' : 'there'}`;
        this.events.push(`start ${name}${uses}`);
        if (start === 'throws' || start === 'fails') throw new Error(`${name} cannot start.`);
        if (start === 'hangs') await new Promise(() => {});
        if (port !== 0 && this.#ports.has(port)) throw new Error(`${name} finds port ${port} taken`);
        held = port !== 0;
        if (held) this.#ports.add(port);
      },
      shutdown: (deadline) => {
        this.events.push(`stop ${name}`);
        if (stop === 'throws') throw new Error(`${name} throws`);
        if (stop === 'fails') return Promise.reject(new Error(`${name} fails`));
        if (stop === 'hangs')
          return new Promise(() => deadline.addEventListener('abort', () => this.events.push(`abort ${name}`)));
        if (held) this.#ports.delete(port);
        return Promise.resolve();
      },
      reopen: async () => {
        this.events.push(`reopen ${name}`);
        if (stop === 'throws') throw new Error(`${name} cannot reopen`);
      },
    };
  }
}
