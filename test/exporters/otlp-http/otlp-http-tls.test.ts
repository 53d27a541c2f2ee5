import { copyFileSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { otlpHttpExporter } from '../../../src/exporters/otlp-http/index.ts';
import { noDeadline, until } from '../otlp/support/agent.ts';
import { type Certificates, createCertificates } from '../otlp/support/certificates.ts';
import { FAST_RETRY, runExporter } from '../otlp/support/exporter.ts';
import { recordBatch } from '../otlp/support/records.ts';
import { type HttpCollector, httpCollector, ok } from './http-collector.ts';

let files: Certificates;
beforeAll(() => {
  files = createCertificates();
});
afterAll(() => files.remove());

let collector: HttpCollector;
afterEach(() => collector.close());

const listen = async (mutual = false) => {
  collector = await httpCollector(ok, {
    tls: {
      cert: files.read(files.serverCert),
      key: files.read(files.serverKey),
      ...(mutual ? { ca: files.read(files.ca), requestCert: true, rejectUnauthorized: true } : {}),
    },
  });
};

/** One batch over TLS with these keys; what became of it. */
async function deliver(tls: string) {
  const agent = await runExporter(
    otlpHttpExporter,
    `{endpoint: "${collector.url}", tls: {${tls}}, retry_on_failure: {enabled: false}}`,
  );
  agent.consumeLogs(recordBatch(1));
  await until(() => agent.counts('logs').sent + agent.counts('logs').failed === 1);
  await agent.exporter.shutdown(noDeadline());
  return { sent: agent.counts('logs').sent, log: agent.log.join('\n') };
}

describe('otlp_http over TLS', () => {
  it('checks the peer against ca_file', async () => {
    await listen();
    expect(await deliver(`ca_file: ${files.ca}`)).toEqual({ sent: 1, log: '' });
    expect(await deliver(`ca_file: ${files.strangerCa}`)).toMatchObject({ sent: 0, log: /certificate/ });
    expect(await deliver('')).toMatchObject({ sent: 0, log: /certificate/ });
  });

  it('does not check where told so', async () => {
    await listen();
    expect(await deliver('insecure_skip_verify: true')).toEqual({ sent: 1, log: '' });
  });

  it('checks the name it is told', async () => {
    await listen();
    expect(await deliver(`ca_file: ${files.ca}, server_name_override: collector.test`)).toEqual({ sent: 1, log: '' });
    expect(await deliver(`ca_file: ${files.ca}, server_name_override: other.test`)).toMatchObject({
      sent: 0,
      log: expect.stringContaining('other.test'),
    });
  });

  it('shows its own certificate', async () => {
    await listen(true);
    const own = `cert_file: ${files.clientCert}, key_file: ${files.clientKey}`;
    expect(await deliver(`ca_file: ${files.ca}, ${own}`)).toEqual({ sent: 1, log: '' });
    const refused = await deliver(`ca_file: ${files.ca}`);
    expect(refused).toMatchObject({ sent: 0 });
    expect(refused.log).not.toMatch(/\.c:\d/);
  });

  it('reads its files anew for each connection', async () => {
    await listen();
    const rotating = `${files.ca}.rotating`;
    copyFileSync(files.strangerCa, rotating);
    const agent = await runExporter(
      otlpHttpExporter,
      `{endpoint: "${collector.url}", tls: {ca_file: ${rotating}}, ${FAST_RETRY}}`,
    );
    agent.consumeLogs(recordBatch(1));
    await until(() => agent.log.length > 0);
    copyFileSync(files.ca, rotating);
    await until(() => agent.counts('logs').sent === 1);

    writeFileSync(rotating, 'half of a cert');
    collector.closeIdle();
    agent.consumeLogs(recordBatch(1));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(agent.counts('logs')).toEqual({ sent: 1, failed: 0, dropped: 0 });
    copyFileSync(files.ca, rotating);
    await until(() => agent.counts('logs').sent === 2);
    await agent.exporter.shutdown(noDeadline());
  });

  it('does not start with files that cannot be used, and says which and why', async () => {
    await listen();
    const garbage = `${files.ca}.garbage`;
    writeFileSync(garbage, 'no certificate');
    const start = (tls: string) => runExporter(otlpHttpExporter, `{endpoint: "${collector.url}", tls: {${tls}}}`);
    await expect(start('ca_file: /nowhere/ca.pem')).rejects.toThrow(
      /exporters\.otlp_http\.tls\.ca_file: cannot read \/nowhere\/ca\.pem: ENOENT/,
    );
    await expect(start(`ca_file: ${garbage}`)).rejects.toThrow(/tls\.ca_file: .*garbage: cannot be used for TLS/);
    await expect(start(`cert_file: ${files.clientCert}, key_file: ${files.serverKey}`)).rejects.toThrow(
      /tls\.cert_file and key_file: .*: cannot be used for TLS: .*mismatch/i,
    );
  });
});
