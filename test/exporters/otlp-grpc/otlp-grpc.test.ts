import { ServerCredentials, status } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { otlpGrpcExporter } from '../../../src/exporters/otlp-grpc/index.ts';
import { noDeadline, until } from '../otlp/support/agent.ts';
import { type Certificates, createCertificates } from '../otlp/support/certificates.ts';
import { FAST_RETRY, runExporter } from '../otlp/support/exporter.ts';
import { attributesOf, decode, encode, logsOf } from '../otlp/support/protobuf.ts';
import { recordBatch } from '../otlp/support/records.ts';
import { MemoryStorage } from '../otlp/support/storage.ts';
import { type GrpcAnswer, type GrpcCollector, grpcCollector, ok, throttled } from './grpc-collector.ts';

const open: GrpcCollector[] = [];
afterEach(() => {
  for (const collector of open.splice(0)) collector.close();
});

async function listen(...options: Parameters<typeof grpcCollector>): Promise<GrpcCollector> {
  const collector = await grpcCollector(...options);
  open.push(collector);
  return collector;
}

function received({ calls }: GrpcCollector): number[] {
  return calls
    .flatMap(({ body }) => logsOf(body))
    .map((log) => Number(String(attributesOf(log.attributes)['tcpledger.connection.id']).split('-')[1]))
    .sort((a, b) => a - b);
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

async function deliver(answer: GrpcAnswer, count = 3, keys = FAST_RETRY) {
  const collector = await listen(answer);
  const agent = await runExporter(otlpGrpcExporter, `{endpoint: "http://127.0.0.1:${collector.port}", ${keys}}`);
  agent.consumeLogs(recordBatch(count));
  await until(() => agent.counts('logs').sent + agent.counts('logs').failed >= count);
  await agent.exporter.shutdown(noDeadline());
  return { collector, agent, counts: agent.counts('logs') };
}

/** A port that was free a moment ago. */
async function deadPort(): Promise<number> {
  const { port, close } = await grpcCollector();
  close();
  return port;
}

describe('otlp_grpc', () => {
  it.each(['gzip', 'none'])('calls the logs service with its headers, compression %s', async (compression) => {
    const { collector, counts } = await deliver(ok, 3, `compression: ${compression}, headers: {X-Token: secret}`);
    expect(received(collector)).toEqual([0, 1, 2]);
    expect(counts).toEqual({ sent: 3, failed: 0, dropped: 0 });
    const [call] = collector.calls;
    expect(call!.signal).toBe('logs');
    expect(call!.metadata.get('x-token')).toEqual(['secret']);
    expect(call!.metadata.get('user-agent')[0]).toMatch(/^tcpledger\/1\.2\.3 /);
  });

  it('delivers a flood, every record once', async () => {
    const { collector, counts } = await deliver(ok, 10_000);
    expect(received(collector)).toEqual(numbers(10_000));
    expect(counts).toEqual({ sent: 10_000, failed: 0, dropped: 0 });
  });

  it.each(['CANCELLED', 'DEADLINE_EXCEEDED', 'ABORTED', 'OUT_OF_RANGE', 'UNAVAILABLE', 'DATA_LOSS'] as const)(
    'tries again after %s',
    async (name) => {
      const { collector, counts, agent } = await deliver((reply, attempt) => {
        if (attempt > 2) ok(reply, attempt);
        else reply({ code: status[name], details: 'not now' });
      });
      expect(collector.calls).toHaveLength(3);
      expect(counts).toEqual({ sent: 3, failed: 0, dropped: 0 });
      expect(agent.log[0]).toContain(`failed: gRPC ${name}: not now; trying again`);
    },
  );

  it.each(['INVALID_ARGUMENT', 'UNAUTHENTICATED', 'UNIMPLEMENTED', 'INTERNAL', 'RESOURCE_EXHAUSTED'] as const)(
    'gives up after %s',
    async (name) => {
      const { collector, counts, agent } = await deliver((reply) => reply({ code: status[name], details: 'never' }));
      expect(collector.calls).toHaveLength(1);
      expect(counts).toEqual({ sent: 0, failed: 3, dropped: 0 });
      expect(agent.log[0]).toContain(`failed for good: gRPC ${name}: never`);
    },
  );

  it.each(['RESOURCE_EXHAUSTED', 'UNAVAILABLE'] as const)('waits as long as %s asks', async (name) => {
    const times: number[] = [];
    const { counts } = await deliver((reply, attempt) => {
      times.push(performance.now());
      if (attempt > 1) ok(reply, attempt);
      else reply(throttled(status[name], 1, 250_000_000));
    });
    expect(counts.sent).toBe(3);
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(1200);
  });

  it('counts a partial success', async () => {
    const { counts } = await deliver((reply) =>
      reply(encode('ExportLogsServiceResponse', { partialSuccess: { rejectedLogRecords: 1, errorMessage: 'old' } })),
    );
    expect(counts).toEqual({ sent: 2, failed: 1, dropped: 0 });
  });

  it('tries again when a peer is silent beyond the timeout', async () => {
    const { counts, agent } = await deliver(
      (reply, attempt) => {
        if (attempt > 1) ok(reply, attempt);
      },
      3,
      `timeout: 300ms, ${FAST_RETRY}`,
    );
    expect(counts.sent).toBe(3);
    expect(agent.log[0]).toContain('gRPC DEADLINE_EXCEEDED');
  });

  it('finds a collector that comes up later, without waiting for a channel', async () => {
    const port = await deadPort();
    const agent = await runExporter(otlpGrpcExporter, `{endpoint: "http://127.0.0.1:${port}", ${FAST_RETRY}}`);
    agent.consumeLogs(recordBatch(5));
    await until(() => agent.log.length > 0);
    expect(agent.log[0]).toMatch(/gRPC UNAVAILABLE: .*ECONNREFUSED/);
    const collector = await listen(ok, { port });
    await until(() => agent.counts('logs').sent === 5);
    await agent.exporter.shutdown(noDeadline());
    expect(received(collector)).toEqual(numbers(5));
  });

  it('goes on when a collector restarts', async () => {
    const first = await listen();
    const agent = await runExporter(otlpGrpcExporter, `{endpoint: "http://127.0.0.1:${first.port}", ${FAST_RETRY}}`);
    agent.consumeLogs(recordBatch(1));
    await until(() => agent.counts('logs').sent === 1);
    first.close();
    const second = await listen(ok, { port: first.port });
    agent.consumeLogs(recordBatch(1, 1));
    await until(() => agent.counts('logs').sent === 2);
    await agent.exporter.shutdown(noDeadline());
    expect(received(second)).toEqual([1]);
  });

  it('stops at the deadline with a collector that never answers, and counts what it leaves', async () => {
    const collector = await listen(() => {});
    const agent = await runExporter(
      otlpGrpcExporter,
      `{endpoint: "127.0.0.1:${collector.port}", timeout: 1h, tls: {insecure: true}}`,
      { metrics: true },
    );
    agent.consumeLogs(recordBatch(7));
    await until(() => collector.calls.length > 0);
    await agent.exporter.shutdown(AbortSignal.timeout(300));
    expect(agent.counts('logs')).toEqual({ sent: 0, failed: 0, dropped: 7 });
  });

  it('stops at once with a collector that is not there', async () => {
    const agent = await runExporter(
      otlpGrpcExporter,
      `{endpoint: "http://127.0.0.1:${await deadPort()}", retry_on_failure: {initial_interval: 1h, max_interval: 1h, max_elapsed_time: 0s}}`,
      { metrics: true },
    );
    agent.consumeLogs(recordBatch(7));
    await until(() => agent.log.length > 0);
    await agent.exporter.shutdown(noDeadline());
    expect(agent.counts('logs').dropped).toBe(7);
  });

  it('keeps batches in storage over a restart', async () => {
    const extensions = { file_storage: new MemoryStorage() };
    const port = await deadPort();
    const keys = `{endpoint: "http://127.0.0.1:${port}", sending_queue: {storage: file_storage}, ${FAST_RETRY}}`;
    const first = await runExporter(otlpGrpcExporter, keys, { extensions });
    first.consumeLogs(recordBatch(2000));
    await until(() => first.log.length > 0);
    await first.exporter.shutdown(noDeadline());
    const collector = await listen(ok, { port });
    const second = await runExporter(otlpGrpcExporter, keys, { extensions });
    await second.exporter.shutdown(noDeadline());
    expect(received(collector)).toEqual(numbers(2000));
  });

  it('sends metrics to the metrics service', async () => {
    const collector = await listen();
    const agent = await runExporter(otlpGrpcExporter, `{endpoint: "http://127.0.0.1:${collector.port}"}`, {
      metrics: true,
      logs: false,
    });
    await agent.exporter.shutdown(noDeadline());
    expect(collector.calls.length).toBeGreaterThan(0);
    for (const { signal, body } of collector.calls) {
      expect(signal).toBe('metrics');
      expect(decode('ExportMetricsServiceRequest', body).resourceMetrics).toHaveLength(1);
    }
  });
});

describe('otlp_grpc over TLS', () => {
  let files: Certificates;
  beforeAll(() => {
    files = createCertificates();
  });
  afterAll(() => files.remove());

  const listenTls = (mutual = false) =>
    listen(ok, {
      credentials: ServerCredentials.createSsl(
        mutual ? files.read(files.ca) : null,
        [{ private_key: files.read(files.serverKey), cert_chain: files.read(files.serverCert) }],
        mutual,
      ),
    });

  async function deliverTls({ port }: GrpcCollector, tls: string, scheme = '') {
    const agent = await runExporter(
      otlpGrpcExporter,
      `{endpoint: "${scheme}127.0.0.1:${port}", tls: {${tls}}, retry_on_failure: {enabled: false}}`,
    );
    agent.consumeLogs(recordBatch(1));
    await until(() => agent.counts('logs').sent + agent.counts('logs').failed === 1);
    await agent.exporter.shutdown(noDeadline());
    return agent.counts('logs').sent;
  }

  it('checks the peer against ca_file, with and without a scheme', async () => {
    const collector = await listenTls();
    expect(await deliverTls(collector, `ca_file: ${files.ca}`)).toBe(1);
    expect(await deliverTls(collector, `ca_file: ${files.ca}`, 'https://')).toBe(1);
    expect(await deliverTls(collector, `ca_file: ${files.strangerCa}`)).toBe(0);
    expect(await deliverTls(collector, 'insecure_skip_verify: true')).toBe(1);
  });

  it('checks the name it is told', async () => {
    const collector = await listenTls();
    expect(await deliverTls(collector, `ca_file: ${files.ca}, server_name_override: collector.test`)).toBe(1);
    expect(await deliverTls(collector, `ca_file: ${files.ca}, server_name_override: other.test`)).toBe(0);
  });

  it('shows its own certificate', async () => {
    const collector = await listenTls(true);
    const own = `cert_file: ${files.clientCert}, key_file: ${files.clientKey}`;
    expect(await deliverTls(collector, `ca_file: ${files.ca}, ${own}`)).toBe(1);
    expect(await deliverTls(collector, `ca_file: ${files.ca}`)).toBe(0);
  });

  it('does not start with a file that is not there', async () => {
    await expect(
      runExporter(otlpGrpcExporter, '{endpoint: "localhost:4317", tls: {ca_file: /nowhere}}'),
    ).rejects.toThrow(/exporters\.otlp_grpc\.tls\.ca_file: cannot read \/nowhere: ENOENT/);
  });
});
