import { getEventListeners } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { fileStorageFactory } from '../../../src/collector/file-storage.ts';
import { HttpSender } from '../../../src/exporters/otlp-http/http-sender.ts';
import { otlpHttpExporter } from '../../../src/exporters/otlp-http/index.ts';
import { AGENT_METRICS } from '../../../src/semconv/registry.ts';
import { fakeAgent, fakePipeline, noDeadline, until } from '../otlp/support/agent.ts';
import { createExporter, FAST_RETRY, parseConfig, runExporter } from '../otlp/support/exporter.ts';
import { attributesOf, decode, encode, logsOf } from '../otlp/support/protobuf.ts';
import { recordBatch } from '../otlp/support/records.ts';
import { MemoryStorage } from '../otlp/support/storage.ts';
import { batch, peers as pairPeers } from '../support/pairs.ts';
import { type Answer, type HttpCollector, httpCollector, ok } from './http-collector.ts';

const open: HttpCollector[] = [];
afterEach(async () => {
  for (const collector of open.splice(0)) await collector.close();
});

async function listen(...options: Parameters<typeof httpCollector>): Promise<HttpCollector> {
  const collector = await httpCollector(...options);
  open.push(collector);
  return collector;
}

/** Sequence numbers of the records in every request, sorted. */
function received({ requests }: HttpCollector): number[] {
  return requests
    .flatMap(({ body }) => logsOf(body))
    .map((log) => Number(String(attributesOf(log.attributes)['tcpledger.connection.id']).split('-')[1]))
    .sort((a, b) => a - b);
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Sends `count` records at a collector that answers so, and waits until they are delivered. */
async function deliver(answer: Answer, count = 3, keys = FAST_RETRY) {
  const collector = await listen(answer);
  const agent = await runExporter(otlpHttpExporter, `{endpoint: "${collector.url}", ${keys}}`);
  agent.consumeLogs(recordBatch(count));
  await until(() => agent.counts('logs').sent + agent.counts('logs').failed >= count);
  await agent.exporter.shutdown(noDeadline());
  return { collector, agent, counts: agent.counts('logs') };
}

/** A port on which nobody listens. */
async function deadPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('otlp_http', () => {
  it('posts gzipped protobuf with its headers to /v1/logs', async () => {
    const { collector, counts } = await deliver(ok, 3, 'headers: {x-token: secret, X-Number: 5}');
    expect(received(collector)).toEqual([0, 1, 2]);
    expect(counts).toEqual({ sent: 3, failed: 0, dropped: 0 });
    expect(collector.requests).toHaveLength(1);
    expect(collector.requests[0]!.path).toBe('/v1/logs');
    expect(collector.requests[0]!.headers).toMatchObject({
      'content-type': 'application/x-protobuf',
      'content-encoding': 'gzip',
      'user-agent': 'tcpledger/1.2.3',
      'x-token': 'secret',
      'x-number': '5',
    });
  });

  it('posts plain protobuf when compression is none', async () => {
    const { collector } = await deliver(ok, 1, 'compression: none');
    expect(collector.requests[0]!.headers['content-encoding']).toBeUndefined();
    expect(received(collector)).toEqual([0]);
  });

  it('has endpoints of their own for each signal', async () => {
    const collector = await listen();
    const agent = await runExporter(
      otlpHttpExporter,
      `{endpoint: "http://127.0.0.1:1", logs_endpoint: "${collector.url}/in/logs", metrics_endpoint: "${collector.url}/in/metrics"}`,
      { metrics: true },
    );
    agent.consumeLogs(recordBatch(1));
    await agent.exporter.shutdown(noDeadline());
    expect(new Set(collector.requests.map(({ path }) => path))).toEqual(new Set(['/in/logs', '/in/metrics']));
  });

  it('cuts a flood into requests and delivers every record once, over few connections', async () => {
    const { collector, counts } = await deliver(ok, 10_000);
    expect(received(collector)).toEqual(numbers(10_000));
    expect(counts).toEqual({ sent: 10_000, failed: 0, dropped: 0 });
    expect(collector.requests.length).toBeGreaterThanOrEqual(3);
    expect(collector.connections()).toBeLessThanOrEqual(4);
  });

  it.each([429, 502, 503, 504])('tries again after HTTP %i', async (status) => {
    const { collector, counts, agent } = await deliver((response, request, attempt) => {
      if (attempt > 2) ok(response, request, attempt);
      else response.writeHead(status).end('busy');
    });
    expect(collector.requests).toHaveLength(3);
    expect(counts).toEqual({ sent: 3, failed: 0, dropped: 0 });
    expect(agent.log[0]).toMatch(new RegExp(`failed: HTTP ${status} .*: busy; trying again`));
  });

  it('honours Retry-After', async () => {
    const times: number[] = [];
    await deliver((response, request, attempt) => {
      times.push(performance.now());
      if (attempt > 1) ok(response, request, attempt);
      else response.writeHead(429, { 'retry-after': '1' }).end();
    });
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(990);
  });

  it.each([
    [
      400,
      'application/x-protobuf',
      encode('Status', { code: 3, message: 'bad\ttime' }),
      'HTTP 400 Bad Request: bad time',
    ],
    [401, 'text/plain', Buffer.from('who are you?\n'), 'HTTP 401 Unauthorized: who are you?'],
    [404, 'text/html', Buffer.alloc(0), 'HTTP 404 Not Found'],
    [500, 'application/x-protobuf', Buffer.from([0xff, 0xff]), 'HTTP 500 Internal Server Error'],
    [301, 'text/plain', Buffer.from('moved'), 'HTTP 301 Moved Permanently: moved (redirects are not followed'],
  ])('gives up after HTTP %i, with the peer’s words', async (status, type, body, reason) => {
    const { collector, counts, agent } = await deliver((response) => {
      response.writeHead(status, { 'content-type': type }).end(body);
    });
    expect(collector.requests).toHaveLength(1);
    expect(counts).toEqual({ sent: 0, failed: 3, dropped: 0 });
    expect(agent.log[0]).toContain(`failed for good: ${reason}`);
  });

  it('counts a partial success', async () => {
    const { counts, agent } = await deliver((response) => {
      response.end(
        encode('ExportLogsServiceResponse', { partialSuccess: { rejectedLogRecords: 2, errorMessage: 'old' } }),
      );
    });
    expect(counts).toEqual({ sent: 1, failed: 2, dropped: 0 });
    expect(agent.log).toEqual([expect.stringContaining('refused 2 records of a batch it took: old')]);
  });

  it('takes a garbage answer to a taken request as delivered, and says what it means', async () => {
    const { counts, collector, agent } = await deliver((response) => {
      response.writeHead(200).end('<html>welcome</html>');
    });
    expect(collector.requests).toHaveLength(1);
    expect(counts).toEqual({ sent: 3, failed: 0, dropped: 0 });
    expect(agent.log).toEqual([expect.stringContaining('is it an OTLP receiver?')]);
  });

  it('takes an answer that breaks off after its status as delivered', async () => {
    const { counts, collector } = await deliver((response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('some', () => response.destroy());
    });
    expect(collector.requests).toHaveLength(1);
    expect(counts.sent).toBe(3);
  });

  it('does not read an endless answer', async () => {
    const { counts } = await deliver((response) => {
      response.writeHead(200);
      const pour = () => {
        while (response.writable && response.write(Buffer.alloc(65_536)));
      };
      response.on('drain', pour);
      response.on('error', () => {});
      pour();
    });
    expect(counts.sent).toBe(3);
  });

  it('gives up a batch whose answer is a change of protocols, and goes on', async () => {
    const { counts, agent } = await deliver((response, request, attempt) => {
      if (attempt > 1) ok(response, request, attempt);
      else response.socket!.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n');
    }, 4097);
    expect(counts.failed).toBeGreaterThan(0);
    expect(counts.sent).toBe(4097 - counts.failed);
    expect(agent.log[0]).toContain('HTTP 101 Switching Protocols');
  });

  it('leaves nothing behind in the signal of the agent, which outlives all requests', async () => {
    const any = vi.spyOn(AbortSignal, 'any');
    onTestFinished(() => any.mockRestore());
    const collector = await listen();
    const options = parseConfig(otlpHttpExporter, '{}').config;
    const sender = new HttpSender({ ...options, owner: 'otlp_http', url: collector.url, userAgent: 'test' });
    const agent = new AbortController();
    for (let i = 0; i < 3; i++) {
      expect(await sender.send(Buffer.from('x'), agent.signal)).toMatchObject({ kind: 'delivered' });
    }
    sender.close();
    expect(getEventListeners(agent.signal, 'abort')).toEqual([]);
    // In Node 20 each combination with a signal is remembered by it for ever.
    expect(any).not.toHaveBeenCalled();
  });

  it('tries again when the connection breaks before an answer', async () => {
    const { counts, collector } = await deliver((response, request, attempt) => {
      if (attempt > 1) ok(response, request, attempt);
      else response.destroy();
    });
    expect(collector.requests).toHaveLength(2);
    expect(counts.sent).toBe(3);
  });

  it('tries again at once when a kept connection was closed meanwhile', async () => {
    const collector = await listen();
    const agent = await runExporter(
      otlpHttpExporter,
      `{endpoint: "${collector.url}", retry_on_failure: {enabled: false}}`,
    );
    for (const round of [1, 2, 3]) {
      agent.consumeLogs(recordBatch(1, round));
      await until(() => agent.counts('logs').sent + agent.counts('logs').failed === round);
      collector.closeIdle();
    }
    await agent.exporter.shutdown(noDeadline());
    expect(agent.counts('logs')).toEqual({ sent: 3, failed: 0, dropped: 0 });
  });

  it('tries again when a peer is silent, or drips, beyond the timeout', async () => {
    for (const stall of [
      () => {},
      (response: Parameters<Answer>[0]) => {
        response.writeHead(503, { 'content-length': '1000000' });
        const drip = setInterval(() => response.write('.'), 10);
        response.on('close', () => clearInterval(drip));
      },
    ]) {
      const { counts, agent } = await deliver(
        (response, request, attempt) => (attempt > 1 ? ok(response, request, attempt) : stall(response)),
        3,
        `timeout: 300ms, ${FAST_RETRY}`,
      );
      expect(counts.sent).toBe(3);
      expect(agent.log[0]).toContain('no answer within 300 ms');
    }
  });

  it('finds a collector that comes up later', async () => {
    const port = await deadPort();
    const agent = await runExporter(otlpHttpExporter, `{endpoint: "http://127.0.0.1:${port}", ${FAST_RETRY}}`);
    agent.consumeLogs(recordBatch(5));
    await until(() => agent.log.length > 0);
    expect(agent.log[0]).toMatch(/ECONNREFUSED/);
    const collector = await listen(ok, { port });
    await until(() => agent.counts('logs').sent === 5);
    await agent.exporter.shutdown(noDeadline());
    expect(received(collector)).toEqual(numbers(5));
  });

  it('counts what a full queue drops, and shows the queue', async () => {
    let open = false;
    const collector = await listen(async (response, request, attempt) => {
      await until(() => open);
      ok(response, request, attempt);
    });
    const agent = await runExporter(otlpHttpExporter, `{endpoint: "${collector.url}", sending_queue: {queue_size: 2}}`);
    expect(agent.queue()).toEqual({ size: [0], capacity: [6] });
    agent.consumeLogs(recordBatch(30_000));
    expect(agent.queue().size).toEqual([6]);
    open = true;
    await agent.exporter.shutdown(noDeadline());
    const { sent, failed, dropped } = agent.counts('logs');
    expect(dropped).toBeGreaterThan(0);
    expect([sent + dropped, failed]).toEqual([30_000, 0]);
    expect(collector.requests).toHaveLength(6);
    expect(received(collector)).toEqual(numbers(sent));
    expect(agent.queue()).toEqual({ size: [], capacity: [] });
  });

  it('stops at the deadline with a collector that never answers, and counts what it leaves', async () => {
    const collector = await listen(() => {});
    const agent = await runExporter(otlpHttpExporter, `{endpoint: "${collector.url}", timeout: 1h}`, { metrics: true });
    agent.consumeLogs(recordBatch(7));
    await agent.exporter.shutdown(AbortSignal.timeout(500));
    expect(agent.counts('logs')).toEqual({ sent: 0, failed: 0, dropped: 7 });
    expect(agent.counts('metrics').dropped).toBeGreaterThan(0);
  });

  it('stops at once with a collector that refuses, whatever it waits for', async () => {
    const port = await deadPort();
    const agent = await runExporter(
      otlpHttpExporter,
      `{endpoint: "http://127.0.0.1:${port}", retry_on_failure: {initial_interval: 1h, max_interval: 1h, max_elapsed_time: 0s}}`,
    );
    agent.consumeLogs(recordBatch(7));
    await until(() => agent.log.length > 0);
    await agent.exporter.shutdown(noDeadline());
    expect(agent.counts('logs').dropped).toBe(7);
  });

  it('keeps batches in storage over a restart', async () => {
    const storage = new MemoryStorage();
    const port = await deadPort();
    const keys = `{endpoint: "http://127.0.0.1:${port}", sending_queue: {storage: file_storage}, ${FAST_RETRY}}`;
    const extensions = { file_storage: storage };
    const first = await runExporter(otlpHttpExporter, keys, { extensions });
    first.consumeLogs(recordBatch(2048));
    await until(() => first.log.length > 0);
    await first.exporter.shutdown(noDeadline());
    expect(first.counts('logs')).toEqual({ sent: 0, failed: 0, dropped: 0 });
    expect(storage.open.size).toBe(0);

    const collector = await listen(ok, { port });
    const second = await runExporter(otlpHttpExporter, keys, { extensions });
    second.consumeLogs(recordBatch(10, 2048));
    await second.exporter.shutdown(noDeadline());
    expect(received(collector)).toEqual(numbers(2058));
    expect([...storage.disk.values()].flat()).toEqual([]);
  });

  it.each([
    ['gzip', 'none'],
    ['none', 'gzip'],
  ])('sends what is stored under compression %s as it is when that is %s now', async (before, now) => {
    const extensions = { file_storage: new MemoryStorage() };
    const port = await deadPort();
    const keys = `endpoint: "http://127.0.0.1:${port}", sending_queue: {storage: file_storage}, ${FAST_RETRY}`;
    const first = await runExporter(otlpHttpExporter, `{${keys}, compression: ${before}}`, { extensions });
    first.consumeLogs(recordBatch(50));
    await until(() => first.log.length > 0);
    await first.exporter.shutdown(noDeadline());

    const collector = await listen(ok, { port });
    const second = await runExporter(otlpHttpExporter, `{${keys}, compression: ${now}}`, { extensions });
    second.consumeLogs(recordBatch(50, 50));
    await second.exporter.shutdown(noDeadline());
    expect(received(collector)).toEqual(numbers(100));
    const encodings = collector.requests.map(({ headers }) => headers['content-encoding'] ?? 'none');
    expect(encodings.sort()).toEqual(['gzip', 'none']);
  });

  it('keeps batches in storage when it is killed', async () => {
    const storage = new MemoryStorage();
    const port = await deadPort();
    const keys = `{endpoint: "http://127.0.0.1:${port}", sending_queue: {storage: file_storage}, ${FAST_RETRY}}`;
    const extensions = { file_storage: storage };
    const killed = await runExporter(otlpHttpExporter, keys, { extensions });
    killed.consumeLogs(recordBatch(100));
    await until(() => killed.log.length > 0);
    const disk = new Map([...storage.disk].map(([name, records]) => [name, [...records]]));
    await killed.exporter.shutdown(noDeadline());
    for (const [name, records] of disk) storage.disk.set(name, records);

    const collector = await listen(ok, { port });
    const second = await runExporter(otlpHttpExporter, keys, { extensions });
    await second.exporter.shutdown(noDeadline());
    expect(received(collector)).toEqual(numbers(100));
  });

  it('says at the end what storage could not be told, and the next start sends that again', async () => {
    const storage = new MemoryStorage();
    const collector = await listen();
    const keys = `{endpoint: "${collector.url}", sending_queue: {storage: file_storage}}`;
    const extensions = { file_storage: storage };
    const first = await runExporter(otlpHttpExporter, keys, { extensions });
    first.consumeLogs(recordBatch(5));
    await until(() => storage.disk.get('otlp_http/logs')?.length === 1);
    storage.failure = 'The disk is full: make room on it.';
    await first.exporter.shutdown(noDeadline());
    expect(first.counts('logs')).toEqual({ sent: 5, failed: 0, dropped: 0 });
    expect(first.log).toEqual([
      expect.stringMatching(/^warn .*the stored queue cannot be rewritten.* grows until this works: The disk is full/),
      expect.stringMatching(/^warn .* 1 batches were delivered or given up, and storage cannot be told so\..*full/),
      expect.stringMatching(/^warn .* 1 batches were delivered .* the next start may send them again$/),
    ]);

    storage.failure = undefined;
    const second = await runExporter(otlpHttpExporter, keys, { extensions });
    await second.exporter.shutdown(noDeadline());
    expect(received(collector)).toEqual(numbers(5).flatMap((n) => [n, n]));
  });

  it('has let go of its storage when it stops at the deadline: a reload opens it at once', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tcpledger-queue-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const silent = await listen(() => {});
    const agent = fakeAgent('file_storage');
    const storage = fileStorageFactory(AGENT_METRICS.storageFailures).create(agent.settings, { directory });
    await storage.start(agent.host);
    const extensions = { file_storage: storage };
    const keys = (url: string) => `{endpoint: "${url}", timeout: 1h, sending_queue: {storage: file_storage}}`;
    const first = await runExporter(otlpHttpExporter, keys(silent.url), { extensions });
    first.consumeLogs(recordBatch(7));
    await until(() => silent.requests.length === 1);
    await first.exporter.shutdown(AbortSignal.timeout(100));
    const collector = await listen();
    const second = await runExporter(otlpHttpExporter, keys(collector.url), { extensions });
    await second.exporter.shutdown(noDeadline());
    expect(received(collector)).toEqual(numbers(7));
    await storage.shutdown(noDeadline());
  });

  it('refuses a storage that is none', async () => {
    const other = { start: async () => {}, shutdown: async () => {} };
    const running = runExporter(otlpHttpExporter, '{sending_queue: {storage: health}}', {
      extensions: { health: other },
    });
    await expect(running).rejects.toThrow(/exporters\.otlp_http\.sending_queue\.storage: the extension health is not/);
  });

  it('serves pipelines that a reload adds after the start, storage included', async () => {
    const storage = new MemoryStorage();
    const collector = await listen();
    const { exporter, host, counts } = createExporter(
      otlpHttpExporter,
      `{endpoint: "${collector.url}", metrics_interval: 100ms, sending_queue: {storage: file_storage}}`,
      { file_storage: storage },
    );
    await exporter.start(host);
    exporter.logs!(fakePipeline('logs')).consume(recordBatch(5));
    exporter.metrics!(fakePipeline('metrics'));
    await until(() => counts('logs').sent === 5 && counts('metrics').sent > 0);
    expect([...storage.open].sort()).toEqual(['otlp_http/logs', 'otlp_http/metrics']);
    await exporter.shutdown(noDeadline());
    expect(received({ ...collector, requests: collector.requests.filter(({ path }) => path === '/v1/logs') })).toEqual(
      numbers(5),
    );
  });

  it('sends metrics at every interval and once more at the end', async () => {
    const collector = await listen();
    const agent = await runExporter(otlpHttpExporter, `{endpoint: "${collector.url}", metrics_interval: 100ms}`, {
      metrics: true,
      logs: false,
    });
    agent.consumePairs(batch([{ slot: 1, peers: pairPeers(), counts: { opened: 1, sent: 11 } }]));
    await until(() => collector.requests.length >= 4);
    agent.consumePairs(batch([{ slot: 1, peers: pairPeers(), counts: { opened: 1, sent: 2 } }]));
    await agent.exporter.shutdown(noDeadline());
    const values = collector.requests.flatMap(({ path, body }) => {
      expect(path).toBe('/v1/metrics');
      return numberPoints(body, 'istio_tcp_received_bytes');
    });
    expect(values.at(0)).toBe('11');
    expect(values.at(-1)).toBe('13');
    expect(agent.counts('metrics').failed).toBe(0);
  });

  it('sends a series once when a reload gives its pipeline another name, and counts on', async () => {
    const collector = await listen();
    const keys = `{endpoint: "${collector.url}", metrics_interval: 1h}`;
    const agent = await runExporter(otlpHttpExporter, keys, { metrics: true, logs: false });
    const row = (received: number) => batch([{ slot: 1, peers: pairPeers(), counts: { opened: 1, sent: received } }]);
    agent.consumePairs(row(11));
    agent.exporter.metrics!(fakePipeline('metrics', 'metrics/renamed')).consume(row(2));
    await agent.exporter.shutdown(noDeadline());
    const values = collector.requests.flatMap(({ body }) => numberPoints(body, 'istio_tcp_received_bytes'));
    expect(values).toEqual(['13']);
  });
});

// biome-ignore lint/suspicious/noExplicitAny: decoded protobuf
function numberPoints(request: Buffer, name: string): any[] {
  const { resourceMetrics } = decode('ExportMetricsServiceRequest', request);
  // biome-ignore lint/suspicious/noExplicitAny: as above
  const metrics = resourceMetrics.flatMap((r: any) => r.scopeMetrics.flatMap((s: any) => s.metrics));
  // biome-ignore lint/suspicious/noExplicitAny: as above
  return metrics.filter((m: any) => m.name === name).flatMap((m: any) => m.sum.dataPoints.map((p: any) => p.asInt));
}
