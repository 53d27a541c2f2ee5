/**
 * The exporter behind `otlp_http` and `otlp_grpc`: encoders on one side, a transport on the other, a lane for each
 * signal between them. The SDK's batch processor is not in the way: beyond its own queue it drops without a word.
 */
import type { AnyConsumer, Exporter, Host, Pipeline, Settings, Signal } from '../../collector/component.ts';
import { TcpledgerError } from '../../collector/errors.ts';
import { isStorageExtension, type StorageExtension } from '../../collector/storage.ts';
import { AGENT_METRICS } from '../../semconv/registry.ts';
import { telemetryProducer } from '../otel-metrics-adapter.ts';
import { type SeriesTable, sharedSeriesTable } from '../series-table.ts';
import type { OtlpConfig } from './config.ts';
import { Lane } from './lane.ts';
import { LogBatcher } from './log-batcher.ts';
import { LogEncoder } from './log-encoder.ts';
import { MetricsPusher } from './metrics-pusher.ts';
import { resourceAttributes } from './resource.ts';
import type { Pack, Sender } from './sender.ts';
import { tableProducers } from './table-producers.ts';

export interface Transport {
  /** Reads the files the configuration names, so that a mistake shows at the start and not hours later. Throws TCPL_E_CONFIG. */
  check(): void;
  readonly pack: Pack;
  sender(signal: Signal): Sender;
}

export class OtlpExporter implements Exporter {
  readonly #settings: Settings;
  readonly #config: OtlpConfig;
  readonly #transport: Transport;
  /** Made when a pipeline of that signal asks for it; a reload may ask after the start. */
  readonly #lanes = new Map<Signal, Lane>();
  readonly #unobserve: readonly (() => void)[];
  #table: SeriesTable | undefined;
  #logs: LogBatcher | undefined;
  #pusher: MetricsPusher | undefined;
  #host: Host | undefined;

  constructor(settings: Settings, config: OtlpConfig, transport: Transport) {
    this.#settings = settings;
    this.#config = config;
    this.#transport = transport;
    const labels = { exporter: settings.id };
    const sum = (value: (lane: Lane) => number) => [...this.#lanes.values()].reduce((n, lane) => n + value(lane), 0);
    this.#unobserve = [
      settings.telemetry.observe(AGENT_METRICS.exportQueueSize, (report) =>
        report(
          sum((lane) => lane.size),
          labels,
        ),
      ),
      settings.telemetry.observe(AGENT_METRICS.exportQueueCapacity, (report) =>
        report(
          sum((lane) => lane.capacity),
          labels,
        ),
      ),
    ];
  }

  logs(_pipeline: Pipeline): AnyConsumer {
    const lane = this.#lane('logs');
    const { version } = this.#settings;
    this.#logs ??= new LogBatcher(new LogEncoder(resourceAttributes(version), version), (batch) => lane.offer(batch));
    return this.#logs;
  }

  /**
   * One table, as on the page of `prometheus`, so that a peer gets no series twice: the first pipeline's. A further one
   * is summed into it, and so is one that a reload puts in its place under another name.
   */
  metrics(pipeline: Pipeline): AnyConsumer {
    this.#table ??= sharedSeriesTable(pipeline, this.#settings.version);
    if (this.#pusher === undefined) {
      this.#pusher = this.#createPusher(this.#lane('metrics'), this.#table);
      if (this.#host !== undefined) this.#pusher.start();
    }
    return this.#table;
  }

  async start(host: Host): Promise<void> {
    this.#transport.check();
    const storage = this.#storage(host);
    this.#host = host;
    await Promise.all([...this.#lanes.values()].map((lane) => lane.start(storage)));
    this.#pusher?.start();
  }

  async shutdown(deadline: AbortSignal): Promise<void> {
    this.#logs?.flush();
    await this.#pusher?.stop();
    await Promise.all([...this.#lanes.values()].map((lane) => lane.shutdown(deadline)));
    for (const unobserve of this.#unobserve) unobserve();
  }

  #lane(signal: Signal): Lane {
    const known = this.#lanes.get(signal);
    if (known !== undefined) return known;
    const { pack } = this.#transport;
    const lane = new Lane(this.#settings, this.#config, signal, pack, this.#transport.sender(signal));
    this.#lanes.set(signal, lane);
    const host = this.#host;
    if (host !== undefined) lane.start(this.#storage(host)).catch((error: Error) => host.fail(error));
    return lane;
  }

  #createPusher(lane: Lane, table: SeriesTable): MetricsPusher {
    const { telemetry, version, logger } = this.#settings;
    // Counters of the agent count from its start, whatever a reload has made of this exporter.
    const agent = telemetryProducer(telemetry, performance.timeOrigin);
    return new MetricsPusher({
      intervalMs: this.#config.metrics_interval,
      resource: resourceAttributes(version),
      version,
      logger,
      producers: function* () {
        yield* tableProducers(table);
        yield agent;
      },
      send: (batch) => lane.offer(batch),
    });
  }

  #storage(host: Host): StorageExtension | undefined {
    const id = this.#config.sending_queue.storage;
    if (id === '') return undefined;
    const extension = host.extension(id);
    if (isStorageExtension(extension)) return extension;
    throw new TcpledgerError(
      'TCPL_E_CONFIG',
      `exporters.${this.#settings.id}.sending_queue.storage: the extension ${id} is not a storage extension. ` +
        'Name a file_storage that is defined under extensions.',
    );
  }
}
