/** The `access_log` exporter: one line per connection, in ztunnel's text or JSON, to stdout, stderr or a file. */
import type { Consumer, Exporter, ExporterFactory, Settings } from '../../collector/component.ts';
import { described, type Infer, object, oneOf, string, withDefault } from '../../collector/schema.ts';
import type { CounterHandle } from '../../collector/telemetry.ts';
import type { IdentifiedRecords } from '../../identity/types.ts';
import { AGENT_METRICS } from '../../semconv/registry.ts';
import { createJsonFormat } from './json-format.ts';
import type { LineFormat } from './line-format.ts';
import { type DropReason, LineWriter } from './line-writer.ts';
import { createOutput } from './open-output.ts';
import { createTextFormat } from './text-format.ts';

/** About 160,000 lines: some seconds of a saturated node, in which a rotation or a stalled reader does no harm. */
const BUFFER_BYTES = 64 * 1024 * 1024;

const schema = object({
  format: described('Form of a line', withDefault(oneOf(['text', 'json']), 'text')),
  output: described(
    'stdout, stderr, or the path of a file (opened anew on SIGHUP), a device or a FIFO',
    withDefault(string(), 'stdout'),
  ),
});

type Config = Infer<typeof schema>;

export const accessLogExporter: ExporterFactory<Config> = {
  kind: 'exporter',
  type: 'access_log',
  description: 'One line per connection, in the text or JSON of ztunnel, to stdout, stderr or a file',
  signals: ['logs'],
  accepts: 'identified',
  schema,
  create: (settings, config) => new AccessLogExporter(settings, config),
};

class AccessLogExporter implements Exporter, Consumer<IdentifiedRecords> {
  readonly #format: LineFormat;
  readonly #writer: LineWriter;

  constructor(settings: Settings, config: Config) {
    this.#format = config.format === 'json' ? createJsonFormat() : createTextFormat();
    const dropped = (reason: DropReason): CounterHandle =>
      settings.telemetry.counter(AGENT_METRICS.accessLogDropped, { reason });
    // Made now, so that each reason is shown at 0 before its first drop.
    const counters: Readonly<Record<DropReason, CounterHandle>> = {
      output_full: dropped('output_full'),
      output_error: dropped('output_error'),
      output_closed: dropped('output_closed'),
      shutdown: dropped('shutdown'),
    };
    this.#writer = new LineWriter({
      output: createOutput(config.output, `exporters.${settings.id}.output`),
      limitBytes: BUFFER_BYTES,
      logger: settings.logger,
      onDropped: (reason, lines) => counters[reason].add(lines),
    });
  }

  start(): Promise<void> {
    return this.#writer.open();
  }

  shutdown(deadline: AbortSignal): Promise<void> {
    return this.#writer.close(deadline);
  }

  reopen(): void {
    void this.#writer.reopen();
  }

  logs(): Consumer<IdentifiedRecords> {
    return this;
  }

  consume({ records, peers, source }: IdentifiedRecords): void {
    if (records.length === 0 || !this.#writer.admits(records.length)) return;
    let lines = '';
    for (let i = 0; i < records.length; i++) lines += this.#format(records[i]!, peers[i]!, source);
    this.#writer.write(Buffer.from(lines));
  }
}
