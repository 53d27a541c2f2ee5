/** What exporters and extensions need of this machine, as doctor tells it: what `run` would end with. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { configured } from '../../src/cli/doctor/configured.ts';
import { exitCode } from '../../src/cli/doctor/finding.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tcpledger-doctor-'));
  mkdirSync(join(folder, 'there'));
  writeFileSync(join(folder, 'file'), '');
});
afterAll(() => rmSync(folder, { recursive: true }));

async function findings(exporters: Record<string, object>, extensions: object = {}) {
  const file = join(folder, 'otel-config.yaml');
  const pipeline = { receivers: ['ebpf_tcp'], processors: ['identity'], exporters: Object.keys(exporters) };
  const service = { extensions: Object.keys(extensions), pipelines: { logs: pipeline } };
  const components = {
    receivers: { ebpf_tcp: {} },
    processors: { identity: { sources: ['file'], file: { path: 'w' } } },
  };
  writeFileSync(file, JSON.stringify({ ...components, exporters, extensions, service }));
  const found = await configured(file);
  expect(found.findings[0]).toMatchObject({ feature: 'configuration', ok: true });
  return found.findings.filter(({ feature }) => !/^(configuration|identity)/.test(feature));
}

it.each([
  ['there/access.log', true, 'access.log'],
  ['file', true, 'file'],
  ['absent/access.log', false, 'create the directory'],
  ['file/access.log', false, 'is no directory'],
  ['there', false, 'it is a directory'],
])('an access log in %s: %s', async (output, ok, text) => {
  const found = await findings({ access_log: { output: join(folder, output) } });
  expect(found).toEqual([
    expect.objectContaining({ feature: 'access log', ok, detail: expect.stringContaining(text) }),
  ]);
  expect(exitCode(found)).toBe(ok ? 0 : 1);
  expect(readdirSync(join(folder, 'there'))).toEqual([]);
});

it('an access log on stdout needs nothing', async () => {
  expect(await findings({ access_log: {} })).toEqual([]);
});

it.each([
  ['otlp_http', 'https://collector.test:4318'],
  ['otlp_grpc', 'collector.test:4317'],
])('the TLS files of %s', async (type, endpoint) => {
  expect(await findings({ [type]: { endpoint } })).toEqual([]);
  const found = await findings({ [type]: { endpoint, tls: { ca_file: join(folder, 'file') } } });
  expect(found).toEqual([
    expect.objectContaining({ feature: `TLS of ${type}`, ok: false, detail: expect.stringContaining('ca_file') }),
  ]);
  expect(exitCode(found)).toBe(2);
});

it.each([
  ['there', true],
  ['absent/and/below', true],
  ['file/below', false],
])('storage in %s: %s', async (directory, ok) => {
  const found = await findings({ access_log: {} }, { file_storage: { directory: join(folder, directory) } });
  expect(found).toEqual([expect.objectContaining({ feature: 'storage', ok })]);
  expect(exitCode(found)).toBe(ok ? 0 : 1);
});
