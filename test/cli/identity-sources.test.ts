import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configured } from '../../src/cli/doctor/configured.ts';
import { exitCode } from '../../src/cli/doctor/finding.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tcpledger-doctor-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What doctor finds of the sources in that section. */
async function findings(identity: object) {
  const file = join(folder, 'otel-config.yaml');
  const pipeline = { receivers: ['ebpf_tcp'], processors: ['identity'], exporters: ['access_log'] };
  const config = {
    receivers: { ebpf_tcp: {} },
    processors: { identity },
    exporters: { access_log: {} },
    service: { pipelines: { logs: pipeline } },
  };
  writeFileSync(file, JSON.stringify(config));
  const found = await configured(file);
  expect(found.findings[0]).toMatchObject({ feature: 'configuration', ok: true });
  return found.findings.slice(1);
}

describe('doctor tries the configured sources', () => {
  it('and says what is wrong with a control plane, without which the agent runs', async () => {
    const found = await findings({ sources: ['istiod'], istiod: { endpoint: '127.0.0.1:1', tls: { insecure: true } } });
    expect(found).toEqual([
      {
        feature: 'identity: istiod',
        ok: false,
        detail: 'nobody listens on 127.0.0.1:1. Is the control plane running? Check endpoint',
        optional: true,
      },
    ]);
  });

  it('and with a file, without which it does not', async () => {
    const path = join(folder, 'workloads.yaml');
    writeFileSync(path, 'workloads:\n- {name: a, workloadIps: [10.0.0.1]}\n');
    expect(await findings({ sources: ['file'], file: { path } })).toEqual([
      { feature: 'identity: file', ok: true, detail: `${path}: 1 workloads, 0 services`, optional: true },
    ]);
    rmSync(path);
    const [finding] = await findings({ sources: ['file'], file: { path } });
    expect(finding).toMatchObject({ ok: false, detail: expect.stringContaining('ENOENT'), code: 'TCPL_E_CONFIG' });
    expect(finding).not.toHaveProperty('optional');
  });

  it('and with credentials that cannot be read, without which it does not, either', async () => {
    for (const kubernetes of [{ kubeconfig: join(folder, 'absent') }, {}]) {
      const [finding] = await findings({ sources: ['kubernetes'], kubernetes });
      expect(finding).toMatchObject({ feature: 'identity: kubernetes', ok: false, code: 'TCPL_E_CONFIG' });
      expect(exitCode([finding!])).toBe(2);
    }
  });

  it('and those without a section by their defaults', async () => {
    const [finding] = await findings({ sources: ['ads'] });
    expect(finding).toMatchObject({
      feature: 'identity: ads',
      ok: false,
      detail: expect.stringContaining('/var/run/secrets/istio/root-cert.pem'),
      optional: true,
    });
  });
});

it.each([
  [{}, true],
  [{ conntrack: false }, false],
])('connection tracking with %j: %s', async (identity, asked) => {
  await findings(identity);
  expect((await configured(join(folder, 'otel-config.yaml'))).conntrack).toBe(asked);
});
