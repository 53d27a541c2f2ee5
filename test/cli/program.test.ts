/** The built program: exit codes and messages of the commands that need no kernel. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import packageJson from '../../package.json' with { type: 'json' };
import { AS_NOBODY, finish } from './support/program.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tcpledger-cli-'));
  chmodSync(directory, 0o755);
});
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

const CONFIG = `
receivers: {ebpf_tcp: }
processors: {identity: }
exporters: {prometheus: {endpoint: "127.0.0.1:0"}}
service:
  pipelines:
    metrics: {receivers: [ebpf_tcp], processors: [identity], exporters: [prometheus]}
`;

const ROOT = process.getuid?.() === 0;

describe('tcpledger', () => {
  it('--version says the version of the package', async () => {
    expect(await finish(['--version'])).toEqual({ code: 0, stdout: `tcpledger ${packageJson.version}\n`, stderr: '' });
  });

  it('--help goes to stdout', async () => {
    const { code, stdout, stderr } = await finish(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('usage: tcpledger COMMAND [options]');
  });

  it('refuses bad arguments with 2, a code and no stack', async () => {
    expect(await finish(['valdiate'])).toEqual({
      code: 2,
      stdout: '',
      stderr:
        'tcpledger: TCPL_E_ARGUMENTS: unknown command "valdiate". Did you mean "validate"? See tcpledger --help.\n',
    });
  });

  it('components is YAML with every factory of this build', async () => {
    const { code, stdout } = await finish(['components']);
    expect(code).toBe(0);
    const types = (section: string) => parse(stdout)[section].map(({ name }: { name: string }) => name);
    expect(types('receivers')).toEqual(['ebpf_tcp']);
    expect(types('processors')).toEqual(['identity']);
    expect(types('exporters')).toEqual(['prometheus', 'access_log', 'otlp_http', 'otlp_grpc']);
    expect(types('extensions')).toEqual(['file_storage']);
  });
});

describe('tcpledger validate', () => {
  it('accepts the configurations that come with the package', async () => {
    for (const config of ['otel-config.yaml', 'docker/agent.yaml']) {
      expect(await finish(['validate', '--config', config])).toMatchObject({ code: 0, stderr: '' });
    }
  });

  it('without --config takes otel-config.yaml of the working directory, else that of the package', async () => {
    const elsewhere = mkdtempSync(join(directory, 'elsewhere-'));
    const packaged = await finish(['validate'], { cwd: elsewhere });
    expect(packaged).toMatchObject({ code: 0, stdout: expect.not.stringContaining(elsewhere) });
    writeFileSync(join(elsewhere, 'otel-config.yaml'), CONFIG);
    const own = await finish(['validate'], { cwd: elsewhere });
    expect(own).toMatchObject({ code: 0, stdout: expect.stringContaining(join(elsewhere, 'otel-config.yaml')) });
  });

  it('tells every mistake on a line of its own, with its place, and ends with 2', async () => {
    const bad = file('bad.yaml', CONFIG.replace('ebpf_tcp: }', 'ebpf_tcp: {max_pair: 5, adopt: 3}}'));
    const { code, stdout, stderr } = await finish(['validate', '--config', bad]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    const lines = stderr.trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toContain(`tcpledger: TCPL_E_CONFIG: ${bad}:2:24: receivers.ebpf_tcp.max_pair: `);
    expect(lines[0]).toContain('Did you mean "max_pairs"?');
    expect(lines[1]).toContain(`tcpledger: TCPL_E_CONFIG: ${bad}:2:44: receivers.ebpf_tcp.adopt: `);
  });

  it('is what run says of the same file, with the same code', async () => {
    const bad = file('bad-run.yaml', CONFIG.replace('127.0.0.1:0', 'nonsense'));
    const validated = await finish(['validate', '--config', bad]);
    const run = await finish(['run', '--config', bad]);
    expect(validated.stderr).toContain('exporters.prometheus.endpoint');
    expect(run).toEqual(validated);
  });
});

describe.runIf(ROOT)('without privileges', () => {
  it('run names the missing capabilities and ends with 3', async () => {
    const config = file('config.yaml', CONFIG);
    const { code, stderr } = await finish(['run', '--config', config], { before: AS_NOBODY });
    expect(code).toBe(3);
    expect(stderr).toMatch(/^tcpledger: TCPL_E_PRIVILEGE: .*CAP_BPF.*CAP_PERFMON/m);
  });

  it('doctor names them too, tells all else, and ends with 3', async () => {
    const config = file('config.yaml', CONFIG);
    const { code, stdout, stderr } = await finish(['doctor', '--config', config], { before: AS_NOBODY });
    expect({ code, stderr }).toEqual({ code: 3, stderr: '' });
    expect(stdout).toMatch(/^✗ privileges +CAP_BPF and CAP_PERFMON missing$/m);
    expect(stdout).toMatch(/^✓ Node /m);
    expect(stdout).toMatch(/^✓ configuration /m);
    expect(stdout).toMatch(/^The agent cannot run: .*privileges/m);
  });
});

describe('tcpledger doctor', () => {
  it('without the built kernel half says how to get it, and ends with 3', async () => {
    const env = { TCPLEDGER_BPF_OBJECT: join(directory, 'none.o') };
    const { code, stdout, stderr } = await finish(['doctor', '--config', file('config.yaml', CONFIG)], { env });
    expect({ code, stderr }).toEqual({ code: 3, stderr: '' });
    expect(stdout).toContain(`${join(directory, 'none.o')} is missing or cannot be read\n`);
    expect(stdout).toContain('→ npm run build');
  });

  it('with a configuration that has mistakes says how to see them', async () => {
    const bad = file('bad.yaml', 'receivers: 3\n');
    const { code, stdout } = await finish(['doctor', '--config', bad]);
    expect(code).toBe(2);
    expect(stdout).toMatch(/^✗ configuration +\S*bad\.yaml: \d+ mistakes$/m);
    expect(stdout).toContain(`→ tcpledger validate --config ${bad} tells each`);
  });
});
