/** The agent's life as its operator sees it: signals, reloads, ports that are taken, collectors that are dead. */
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { eventually } from '../kernel/support/eventually.ts';
import { kernelObjects } from '../kernel/support/leftovers.ts';
import { describeOnKernel } from '../kernel/support/suite.ts';
import { AS_NOBODY, finish, type ProgramOptions, type Running, start } from './support/program.ts';

let directory: string;
let config: string;
const undo: (() => void)[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tcpledger-run-'));
  config = join(directory, 'config.yaml');
});
afterEach(() => {
  for (const each of undo.splice(0)) each();
  rmSync(directory, { recursive: true });
});

interface Wanted {
  readonly endpoint?: string;
  readonly format?: string;
  readonly collector?: string;
}

function configure({ endpoint = '127.0.0.1:0', format = 'text', collector }: Wanted = {}): void {
  const pipeline = { receivers: ['ebpf_tcp'], processors: ['identity'] };
  const otlp = collector === undefined ? {} : { otlp_http: { endpoint: collector, sending_queue: { queue_size: 10 } } };
  writeFileSync(
    config,
    stringify({
      receivers: { ebpf_tcp: { settle_interval: '100ms' } },
      processors: { identity: { resolve_timeout: '0s' } },
      exporters: { prometheus: { endpoint }, access_log: { format, output: join(directory, 'log') }, ...otlp },
      service: {
        telemetry: { logs: { level: 'debug' } },
        pipelines: {
          metrics: { ...pipeline, exporters: ['prometheus'] },
          logs: { ...pipeline, exporters: ['access_log', ...Object.keys(otlp)] },
        },
      },
    }),
  );
}

/** Resolves when it says that it runs. */
async function running(options: ProgramOptions = {}): Promise<Running> {
  const agent = start(['run', '--config', config], options);
  undo.push(() => agent.child.kill('SIGKILL'));
  await says(agent, `Running with ${config}: metrics, logs`);
  return agent;
}

const says = (agent: Running, text: string) => eventually(() => expect(agent.stderr()).toContain(text));

async function listening(onConnection: (server: Server) => void = () => {}): Promise<number> {
  const server = createServer();
  onConnection(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  undo.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

describeOnKernel('tcpledger run', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('%s stops it with 0', async (signal) => {
    configure();
    const agent = await running();
    agent.child.kill(signal);
    expect(await agent.ended).toBe(0);
    expect(agent.stderr()).toContain(`Stopping: ${signal}`);
    expect(agent.stdout()).toBe('');
  });

  test('the end of the process that started it stops it', async () => {
    configure();
    const agent = await running({ channel: true });
    agent.child.disconnect();
    expect(await agent.ended).toBe(0);
    expect(agent.stderr()).toContain('Stopping: the process that started it has ended');
  });

  test('SIGHUP and a changed file reload; mistakes are told and the old configuration stays', async () => {
    configure();
    const agent = await running();
    const programs = (await kernelObjects()).programs;

    agent.child.kill('SIGHUP');
    await says(agent, `${config} is read again: nothing changed`);

    configure({ format: 'json' });
    await says(agent, `${config} is reloaded`);

    configure({ format: 'jsn' });
    await says(agent, 'exporters.access_log.format');
    await says(agent, 'the configuration before stays');

    // the kernel half has been the same all the time
    expect((await kernelObjects()).programs).toEqual(programs);
    agent.child.kill('SIGTERM');
    expect(await agent.ended).toBe(0);
  });

  test('a port that is taken ends it with 1, and the message names the holder', async () => {
    const port = await listening();
    configure({ endpoint: `127.0.0.1:${port}` });
    const { code, stderr } = await finish(['run', '--config', config]);
    expect(code).toBe(1);
    expect(stderr).toContain(`127.0.0.1:${port}`);
    expect(stderr).toMatch(new RegExp(`^tcpledger: TCPL_E_ENDPOINT: .*\\(pid ${process.pid}\\)`, 'm'));
    expect(stderr.match(/TCPL_E_ENDPOINT/g)).toHaveLength(1);
  });

  test('a missing BPF object ends it with 3', async () => {
    configure();
    const env = { TCPLEDGER_BPF_OBJECT: join(directory, 'none.o') };
    const { code, stderr } = await finish(['run', '--config', config], { env });
    expect(code).toBe(3);
    expect(stderr).toMatch(/^tcpledger: TCPL_E_BPF_OBJECT: .*none\.o/m);
  });

  test('CAP_BPF and CAP_PERFMON are all it needs', async () => {
    configure();
    chmodSync(directory, 0o777);
    const capabilities = '-all,+bpf,+perfmon';
    const before = [
      ...AS_NOBODY,
      ...['--bounding-set', capabilities, '--inh-caps', capabilities, '--ambient-caps', capabilities],
    ];
    const { code, stdout } = await finish(['doctor', '--config', config], { before });
    expect(stdout).toMatch(/^✓ privileges +CAP_BPF, CAP_PERFMON$/m);
    expect(code).toBe(0);
    const agent = await running({ before });
    agent.child.kill('SIGTERM');
    expect(await agent.ended).toBe(0);
  });

  test('with a collector that never answers SIGTERM still stops it, and what was lost is told', async () => {
    configure({ collector: `http://127.0.0.1:${await listening()}` });
    const agent = await running();
    await somethingToSend();
    agent.child.kill('SIGTERM');
    expect(await agent.ended).toBe(0);
    expect(agent.stderr()).toMatch(/\totlp_http\t.*dropped/);
  });

  test('a second SIGTERM does not wait for that collector', async () => {
    configure({ collector: `http://127.0.0.1:${await listening()}` });
    const agent = await running();
    await somethingToSend();
    agent.child.kill('SIGTERM');
    await says(agent, 'Stopping: SIGTERM');
    await delay(600); // the same request arrives by several ways: later than that it is a second one
    agent.child.kill('SIGTERM');
    expect(await agent.ended).toBe(1);
    expect(agent.stderr()).toContain('SIGTERM again: ending at once');
  });
});

/** A connection of this process, whose records wait in the exporter for the collector. */
async function somethingToSend(): Promise<void> {
  const port = await listening((server) => server.on('connection', (socket) => socket.end()));
  const socket = connect(port, '127.0.0.1').resume();
  await once(socket, 'close');
  await delay(1500); // beyond the exporter's batching
}
