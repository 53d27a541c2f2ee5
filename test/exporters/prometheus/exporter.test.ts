import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import {
  createStockPage,
  seriesTableProducer,
  telemetryProducer,
} from '../../../src/exporters/otel-metrics-adapter.ts';
import { PrometheusPageExporter, prometheusExporter } from '../../../src/exporters/prometheus/exporter.ts';
import { sharedSeriesTable } from '../../../src/exporters/series-table.ts';
import { AGENT_METRICS } from '../../../src/semconv/registry.ts';
import { metricsPipeline, settings, telemetryOf, testHost } from '../support/component.ts';
import { batch, peers, type Row, workload } from '../support/pairs.ts';

const TELEMETRY = telemetryOf([{ definition: AGENT_METRICS.slotsRecycled, points: [{ labels: {}, value: 7 }] }]);

const running: PrometheusPageExporter[] = [];
const sockets: Socket[] = [];
const agents: Agent[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const agent of agents.splice(0)) agent.destroy();
  await Promise.all(running.splice(0).map((exporter) => exporter.shutdown(AbortSignal.abort())));
});

async function start(
  options: { rows?: readonly Row[]; telemetry?: typeof TELEMETRY; notReady?: Map<string, string> } = {},
) {
  const { rows = [], telemetry = TELEMETRY, notReady = new Map() } = options;
  const own = settings('prometheus', telemetry);
  const exporter = new PrometheusPageExporter(own, { endpoint: { host: '127.0.0.1', port: 0 } });
  const pipeline = metricsPipeline();
  exporter.metrics(pipeline).consume(batch(rows));
  await exporter.start(testHost(notReady));
  running.push(exporter);
  const [address] = exporter.addresses;
  return { exporter, table: sharedSeriesTable(pipeline, '1.2.3'), address: address!, lines: own.lines, notReady };
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

async function ask(
  address: string,
  path: string,
  options: { method?: string; headers?: Record<string, string>; agent?: Agent } = {},
): Promise<Answer> {
  const request = httpRequest(`http://${address}${path}`, { agent: false, ...options });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  return { status: response.statusCode!, headers: response.headers, body: Buffer.concat(parts) };
}

/** Asks and reads nothing: the page stays under way once the kernel's buffers are full. */
async function stuckScraper(address: string): Promise<Socket> {
  const [host, port] = address.split(':');
  const socket = connect({ host: host!, port: Number(port) });
  sockets.push(socket);
  socket.on('error', () => {});
  socket.pause();
  await once(socket, 'connect');
  socket.write('GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n');
  return socket;
}

const ROWS: Row[] = [
  { slot: 1, peers: peers(), counts: { opened: 1, closed: 1, sent: 11, received: 22, duration: 2e6 } },
  { slot: 2, peers: peers({ reporter: 'destination' }), counts: { opened: 1, closed: 1, sent: 22, received: 11 } },
];

/** Some 30 MB of page: more than the kernel keeps for a reader that doesn't read. */
const MANY_ROWS: Row[] = Array.from({ length: 800 }, (_, slot) => ({
  slot,
  peers: peers({ source: workload(`client-${slot}`) }),
  counts: { opened: slot },
}));

describe('the metrics page', () => {
  it('is the same under both paths, and what the stock serializer makes of the same data', async () => {
    const { address, table } = await start({ rows: ROWS });
    const metrics = await ask(address, '/metrics');
    expect(metrics.status).toBe(200);
    expect(metrics.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    const stock = await createStockPage([seriesTableProducer(table), telemetryProducer(TELEMETRY)])();
    expect(metrics.body.toString()).toBe(stock);
    const again = await ask(address, '/stats/prometheus?format=any');
    expect(again.body.toString()).toBe(stock);
    expect(stock).toContain('\nistio_build{component="tcpledger",tag="1.2.3"} 1\n');
    expect(stock).toContain('\ntcpledger_slots_recycled_total 7\n');
  });

  it('is OpenMetrics when Accept asks for it', async () => {
    const { address } = await start({ rows: ROWS });
    const { headers, body } = await ask(address, '/metrics', { headers: { accept: 'application/openmetrics-text' } });
    expect(headers['content-type']).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect(body.toString()).toMatch(/\n# EOF\n$/);
    expect(body.toString()).toContain(
      '# TYPE istio_tcp_connections_opened counter\nistio_tcp_connections_opened_total{',
    );
    expect(body.toString()).toContain('# TYPE tcpledger_slots_recycled counter\ntcpledger_slots_recycled_total 7\n');
  });

  it('is compressed when Accept-Encoding asks for it', async () => {
    const { address } = await start({ rows: MANY_ROWS });
    const plain = await ask(address, '/metrics');
    const coded = await ask(address, '/metrics', { headers: { 'accept-encoding': 'gzip' } });
    expect(plain.headers['content-encoding']).toBeUndefined();
    expect(coded.headers['content-encoding']).toBe('gzip');
    expect(coded.headers.vary).toBe('accept, accept-encoding');
    expect(coded.body.length).toBeLessThan(plain.body.length / 10);
    expect(gunzipSync(coded.body).equals(plain.body)).toBe(true);
  });

  it('answers HEAD with the headers alone, on a connection that goes on', async () => {
    const { address } = await start({ rows: ROWS });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    agents.push(agent);
    const head = await ask(address, '/metrics', { method: 'HEAD', agent });
    expect(head.status).toBe(200);
    expect(head.headers['content-type']).toContain('version=0.0.4');
    expect(head.body.length).toBe(0);
    expect((await ask(address, '/metrics', { agent })).body.toString()).toContain('istio_build');
  });

  it('is there before the first connection and the first pipeline', async () => {
    const exporter = new PrometheusPageExporter(settings('prometheus'), { endpoint: { host: '127.0.0.1', port: 0 } });
    await exporter.start(testHost());
    running.push(exporter);
    const { body } = await ask(exporter.addresses[0]!, '/metrics');
    expect(body.toString()).toContain('\ntcpledger_connections_opened_total 0\n');
  });

  it('shows one instant to a scraper that reads while the table moves on', async () => {
    const { address, table } = await start({ rows: MANY_ROWS });
    const request = httpRequest(`http://${address}/metrics`, { agent: false });
    request.end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const stock = await createStockPage([seriesTableProducer(table), telemetryProducer(TELEMETRY)])();
    const parts: Buffer[] = [];
    for await (const part of response) {
      parts.push(part as Buffer);
      table.consume(batch(ROWS));
    }
    expect(Buffer.concat(parts).equals(Buffer.from(stock))).toBe(true);
  });

  it('is an error with a word in the log, not half a page, when it cannot be made', async () => {
    const broken = {
      ...TELEMETRY,
      collect: () => {
        throw new Error('no counters today');
      },
    };
    const { address, lines } = await start({ rows: ROWS, telemetry: broken });
    expect((await ask(address, '/metrics')).status).toBe(500);
    expect(lines.join('\n')).toMatch(/error Could not answer GET \/metrics: Error: no counters today/);
  });
});

describe('the other pages', () => {
  it.each(['/', '/metric', '/metrics/', '/stats', '/METRICS', '//metrics', '/toString', '/metrics%20'])(
    'there is none at %s',
    async (path) => {
      const { address } = await start();
      expect((await ask(address, path)).status).toBe(404);
      expect((await ask(address, path, { method: 'POST' })).status).toBe(404);
    },
  );

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('do not take %s', async (method) => {
    const { address } = await start();
    for (const path of ['/metrics', '/stats/prometheus', '/healthz', '/readyz']) {
      const { status, headers } = await ask(address, path, { method });
      expect(status).toBe(405);
      expect(headers.allow).toBe('GET, HEAD');
    }
  });

  it('say that the process lives', async () => {
    const { address } = await start({ notReady: new Map([['ebpf_tcp', 'the kernel half']]) });
    const { status, body } = await ask(address, '/healthz');
    expect([status, body.toString()]).toEqual([200, 'ok\n']);
  });

  it('say what is missing until everything is ready', async () => {
    const { address, notReady } = await start({
      notReady: new Map([
        ['ebpf_tcp', 'the programs are not attached'],
        ['identity', 'file has not been read'],
      ]),
    });
    const before = await ask(address, '/readyz');
    expect(before.status).toBe(503);
    expect(before.body.toString()).toBe('ebpf_tcp: the programs are not attached\nidentity: file has not been read\n');
    notReady.clear();
    const after = await ask(address, '/readyz');
    expect([after.status, after.body.toString()]).toEqual([200, 'ready\n']);
  });
});

describe('scrapers that misbehave', () => {
  it('stuck ones do not keep others from their page', async () => {
    const { address } = await start({ rows: MANY_ROWS });
    await stuckScraper(address);
    await stuckScraper(address);
    const { body } = await ask(address, '/metrics');
    expect(body.toString()).toMatch(/tcpledger_slots_recycled_total 7\n$/);
  });

  it('too many at once are told to come again, and have their page when others are gone', async () => {
    const { address } = await start({ rows: MANY_ROWS });
    const stuck = await Promise.all(Array.from({ length: 16 }, () => stuckScraper(address)));
    await Promise.all(stuck.map((socket) => once(socket, 'readable')));
    const refused = await ask(address, '/metrics');
    expect(refused.status).toBe(503);
    expect(refused.headers['retry-after']).toBe('1');
    expect((await ask(address, '/healthz')).status).toBe(200);
    for (const socket of stuck) socket.destroy();
    await expect.poll(async () => (await ask(address, '/metrics')).status).toBe(200);
  });

  it.each(['identity', 'gzip'])('one that leaves midway (%s) leaves nothing behind', async (coding) => {
    const { address, lines } = await start({ rows: MANY_ROWS });
    // More than may be under way at once: each must have given its place back.
    for (let i = 0; i < 20; i++) {
      const request = httpRequest(`http://${address}/metrics`, {
        agent: false,
        headers: { 'accept-encoding': coding },
      });
      request.on('error', () => {});
      request.end();
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      response.on('error', () => {});
      await once(response, 'readable');
      response.destroy();
    }
    await expect.poll(async () => (await ask(address, '/metrics')).status).toBe(200);
    expect(lines.filter((line) => line.startsWith('error'))).toEqual([]);
  });

  it('one that speaks no HTTP is turned away', async () => {
    const { address } = await start();
    const [host, port] = address.split(':');
    const socket = connect({ host: host!, port: Number(port) });
    sockets.push(socket);
    socket.end('\0\x01nonsense\r\n\r\n');
    const parts: Buffer[] = [];
    for await (const part of socket) parts.push(part as Buffer);
    expect(Buffer.concat(parts).toString()).toMatch(/^HTTP\/1\.1 400 /);
    expect((await ask(address, '/healthz')).status).toBe(200);
  });
});

describe('the exporter', () => {
  it('serves localhost:15020 unless told otherwise', () => {
    const mistakes: string[] = [];
    const config = prometheusExporter.schema.parse(undefined, 'exporters.prometheus', (path) => mistakes.push(path));
    expect(config).toEqual({ endpoint: { host: 'localhost', port: 15020 } });
    expect(mistakes).toEqual([]);
    expect(prometheusExporter.create(settings('prometheus'), config)).toBeInstanceOf(PrometheusPageExporter);
  });

  it('feeds the table of its pipeline, and every further pipeline into the same', async () => {
    const exporter = new PrometheusPageExporter(settings('prometheus'), { endpoint: { host: '127.0.0.1', port: 0 } });
    const pipeline = metricsPipeline();
    const table = exporter.metrics(pipeline);
    expect(table).toBe(sharedSeriesTable(pipeline, '1.2.3'));
    expect(exporter.metrics(metricsPipeline('metrics/other'))).toBe(table);
  });

  it('says where it listens, and names its own setting when it cannot', async () => {
    const { address, lines } = await start();
    expect(lines).toEqual([`info Metrics on http://${address}/metrics`]);
    const [host, port] = address.split(':');
    const second = new PrometheusPageExporter(settings('prometheus/second'), {
      endpoint: { host: host!, port: Number(port) },
    });
    await expect(second.start(testHost())).rejects.toMatchObject({
      code: 'TCPL_E_ENDPOINT',
      message: expect.stringContaining('exporters.prometheus/second.endpoint'),
    });
  });

  it('lets a scrape under way come to its end when it stops, and takes no more', async () => {
    const { exporter, address } = await start({ rows: MANY_ROWS });
    const request = httpRequest(`http://${address}/metrics`, { agent: false });
    request.end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const stopped = exporter.shutdown(new AbortController().signal);
    const parts: Buffer[] = [];
    for await (const part of response) parts.push(part as Buffer);
    expect(Buffer.concat(parts).toString()).toMatch(/tcpledger_slots_recycled_total 7\n$/);
    await stopped;
    await expect(ask(address, '/healthz')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('stops at the deadline whatever its scrapers do, and with idle connections at once', async () => {
    const { exporter, address } = await start({ rows: MANY_ROWS });
    const agent = new Agent({ keepAlive: true });
    agents.push(agent);
    await ask(address, '/healthz', { agent });
    const stuck = await stuckScraper(address);
    await once(stuck, 'readable');
    const deadline = new AbortController();
    let stopped = false;
    const stopping = exporter.shutdown(deadline.signal).then(() => {
      stopped = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(stopped).toBe(false);
    deadline.abort();
    await stopping;
    expect(exporter.addresses).toEqual([]);
  });

  it('stops twice, and without ever having started', async () => {
    const { exporter } = await start();
    await exporter.shutdown(new AbortController().signal);
    await exporter.shutdown(new AbortController().signal);
    const never = new PrometheusPageExporter(settings('prometheus'), { endpoint: { host: '127.0.0.1', port: 0 } });
    await never.shutdown(new AbortController().signal);
    expect(never.addresses).toEqual([]);
  });
});
