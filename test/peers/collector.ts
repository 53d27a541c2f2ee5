/** A real OpenTelemetry Collector that writes all it receives to files, as OTLP/JSON. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { undoLater } from '../kernel/support/cleanup.ts';
import { findOrBuild, peerMissing, peerPath } from './binary.ts';

const binaryPath = (): string => peerPath('otelcol', ['collector/manifest.yaml']);

/** Why there is no Collector on this machine; undefined when there is one, or one can be built. */
export const collectorMissing = (): string | undefined => peerMissing('Collector', binaryPath());

export interface Collector {
  readonly ports: { readonly http: number; readonly grpc: number };
  readonly httpUrl: string;
  /** `host:port`. */
  readonly grpcAddress: string;
  /** Requests received so far, as OTLP/JSON objects in the order of their arrival. */
  // biome-ignore lint/suspicious/noExplicitAny: OTLP/JSON as the Collector writes it
  readonly received: (signal: 'logs' | 'metrics') => any[];
  readonly stop: () => Promise<void>;
}

export interface CollectorOptions {
  /** On the ports of one that has stopped. */
  readonly like?: Pick<Collector, 'ports'>;
  /** Where what is received is kept, behind what is there; without it in a folder that goes when the Collector stops. */
  readonly folder?: string;
}

export async function startCollector(options: CollectorOptions = {}): Promise<Collector> {
  const binary = findOrBuild(binaryPath(), 'collector');
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'tcpledger-collector-'));
  const { http, grpc } = options.like?.ports ?? { http: await freePort(), grpc: await freePort() };
  const file = (signal: string) => join(folder, `${signal}.json`);
  const pipeline = (signal: string) => ({ receivers: ['otlp'], exporters: [`file/${signal}`] });
  const config = {
    receivers: {
      otlp: { protocols: { http: { endpoint: `127.0.0.1:${http}` }, grpc: { endpoint: `127.0.0.1:${grpc}` } } },
    },
    exporters: {
      'file/logs': { path: file('logs'), append: true },
      'file/metrics': { path: file('metrics'), append: true },
    },
    service: {
      telemetry: { metrics: { level: 'none' } },
      pipelines: { logs: pipeline('logs'), metrics: pipeline('metrics') },
    },
  };
  writeFileSync(join(folder, 'config.yaml'), JSON.stringify(config));
  const child = spawn(binary, ['--config', join(folder, 'config.yaml')], { stdio: ['ignore', 'ignore', 'pipe'] });
  const kill = undoLater(() => child.kill('SIGKILL'));
  await ready(child);
  return {
    ports: { http, grpc },
    httpUrl: `http://127.0.0.1:${http}`,
    grpcAddress: `127.0.0.1:${grpc}`,
    received: (signal) => jsonLines(file(signal)),
    async stop() {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      if (child.exitCode === null) {
        child.kill('SIGTERM');
        await exited;
      }
      kill();
      if (options.folder === undefined) rmSync(folder, { recursive: true });
    },
  };
}

/** What the Collector's own `validate` says of a configuration: '' when it has nothing against it. */
export function collectorObjections(config: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'tcpledger-collector-'));
  try {
    const file = join(folder, 'config.yaml');
    writeFileSync(file, config);
    const { status, stderr } = spawnSync(findOrBuild(binaryPath(), 'collector'), ['validate', '--config', file], {
      encoding: 'utf8',
    });
    return status === 0 ? '' : stderr;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Whole lines only: the last one may be half written. */
function jsonLines(path: string) {
  if (!existsSync(path)) return [];
  const text = readFileSync(path, 'utf8');
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

/** Resolves when the Collector says that it runs; rejects with what it said if it ends instead. */
function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (said.includes('Everything is ready')) resolve();
    });
    child.once('exit', (code) => reject(new Error(`the Collector ended with ${code}:\n${said}`)));
    child.once('error', reject);
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
