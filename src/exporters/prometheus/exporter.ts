/**
 * The `prometheus` exporter: a page for scrapers at one endpoint. The families counted per pair are written from the
 * series table's own bytes; the agent's telemetry and the node's totals go through the stock reader and serializer.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Consumer, Exporter, ExporterFactory, Host, Pipeline, Settings } from '../../collector/component.ts';
import { described, endpoint, type Infer, object, withDefault } from '../../collector/schema.ts';
import type { IdentifiedPairs } from '../../identity/types.ts';
import { createStockPage, nodeTotalsProducer, telemetryProducer } from '../otel-metrics-adapter.ts';
import { SeriesTable, sharedSeriesTable } from '../series-table.ts';
import { addressText, listen } from './listen.ts';
import { MetricsPage } from './metrics-page.ts';
import { pages } from './pages.ts';

const SCHEMA = object({
  endpoint: described(
    'Where the pages are served; localhost is both loopback addresses',
    withDefault(endpoint({ anyPort: true }), 'localhost:15020'),
  ),
});

export type PrometheusConfig = Infer<typeof SCHEMA>;

/** How long scrapes under way may go on when the agent stops. */
const SCRAPE_GRACE_MS = 2_000;

/** Against connections that say nothing, or half a request; idle ones outlive the usual scrape interval of a minute. */
const TIMEOUTS = { headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 75_000 };

/** No progress on a connection for so long: closed. */
const SOCKET_TIMEOUT_MS = 30_000;

/** Connections at once on one address. */
const MAX_CONNECTIONS = 256;

export class PrometheusPageExporter implements Exporter {
  readonly #settings: Settings;
  readonly #config: PrometheusConfig;
  #table: SeriesTable | undefined;
  #servers: Server[] = [];

  constructor(settings: Settings, config: PrometheusConfig) {
    this.#settings = settings;
    this.#config = config;
  }

  /** The addresses that are served, as `127.0.0.1:15020`, once started. */
  get addresses(): string[] {
    return this.#servers.map((server) => {
      const { address, port } = server.address() as AddressInfo;
      return addressText(address, port);
    });
  }

  /**
   * A page has one table, so that no series can stand on it twice: the first pipeline's. A further pipeline is summed
   * into it, which is right as long as its receivers are others.
   */
  metrics(pipeline: Pipeline): Consumer<IdentifiedPairs> {
    this.#table ??= sharedSeriesTable(pipeline, this.#settings.version);
    return this.#table;
  }

  async start(host: Host): Promise<void> {
    const { id, logger, telemetry, version } = this.#settings;
    this.#table ??= new SeriesTable({ version });
    const table = this.#table;
    const rest = createStockPage([nodeTotalsProducer(table), telemetryProducer(telemetry)]);
    const page = new MetricsPage({ snapshot: () => table.snapshot(), rest });
    const answer = pages(page, host, logger);
    this.#servers = await listen(this.#config.endpoint, `exporters.${id}.endpoint`, () => createPageServer(answer));
    for (const server of this.#servers) {
      // Descriptors may run out; a connection that can't be taken now is no reason to stop counting.
      server.on('error', (error) => logger.warn(`The metrics page could not take a connection: ${error.message}`));
    }
    logger.info(`Metrics on ${this.addresses.map((address) => `http://${address}/metrics`).join(' and ')}`);
  }

  async shutdown(deadline: AbortSignal): Promise<void> {
    const servers = this.#servers;
    this.#servers = [];
    const closeAll = () => {
      for (const server of servers) server.closeAllConnections();
    };
    const grace = setTimeout(closeAll, SCRAPE_GRACE_MS);
    deadline.addEventListener('abort', closeAll, { once: true });
    if (deadline.aborted) closeAll();
    await Promise.all(servers.map(closed));
    clearTimeout(grace);
    deadline.removeEventListener('abort', closeAll);
  }
}

function createPageServer(answer: Parameters<typeof createServer>[1]): Server {
  const server = createServer({ ...TIMEOUTS, connectionsCheckingInterval: 5_000 }, answer);
  server.timeout = SOCKET_TIMEOUT_MS;
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}

/** Takes no more connections, closes the idle ones, and resolves when the last one is gone. */
function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // The only error is that it does not listen (any more), and then it is closed.
    server.close(() => resolve());
    server.closeIdleConnections();
  });
}

export const prometheusExporter: ExporterFactory<PrometheusConfig> = {
  kind: 'exporter',
  type: 'prometheus',
  description: "A page for Prometheus with Istio's TCP metrics, the richer TCP set and the agent's own",
  schema: SCHEMA,
  signals: ['metrics'],
  accepts: 'identified',
  create: (settings, config) => new PrometheusPageExporter(settings, config),
};
