/** A real Prometheus that scrapes one target every second into a storage of its own. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { undoLater } from '../../kernel/support/cleanup.ts';
import { eventually } from '../../kernel/support/eventually.ts';
import { freePort } from '../../kernel/support/free-port.ts';

/** One element of an instant vector. */
export interface Element {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Prometheus {
  /** An instant query now. Rejects with what Prometheus says of a query that it refuses. */
  query(expression: string): Promise<Element[]>;
  /** The value of a query that has one element; NaN if it has none. */
  value(expression: string): Promise<number>;
  /** `data` of the answer to a GET below /api/v1/. */
  get(path: string): Promise<unknown>;
  stop(): Promise<void>;
}

/** Why there is none on this machine; undefined if there is. */
export function prometheusMissing(): string | undefined {
  const missing = ['prometheus', 'promtool'].find(
    (program) => spawnSync(program, ['--version'], { stdio: 'ignore' }).error !== undefined,
  );
  return missing && `${missing} is not installed (Debian package prometheus)`;
}

/** `target`: host:port. `labels`: what a scrape configuration adds to all that comes from it. */
export async function startPrometheus(
  target: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<Prometheus> {
  const directory = mkdtempSync(join(tmpdir(), 'tcpledger-prometheus-'));
  const removeDirectory = undoLater(() => rmSync(directory, { recursive: true }));
  const config = join(directory, 'prometheus.json');
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: '1s', scrape_timeout: '1s' },
      scrape_configs: [{ job_name: 'tcpledger', static_configs: [{ targets: [target], labels }] }],
    }),
  );
  const address = `127.0.0.1:${await freePort()}`;
  const child = spawn(
    'prometheus',
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=${address}`,
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const kill = undoLater(() => child.kill('SIGKILL'));
  let said = '';
  child.stderr.on('data', (text: Buffer) => {
    said += text.toString();
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));

  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(`http://${address}/api/v1/${path}`);
    const answer = (await response.json()) as { status: string; error?: string; data: unknown };
    if (answer.status !== 'success') throw new Error(`Prometheus on ${path}: ${answer.error}`);
    return answer.data;
  };
  const query = async (expression: string): Promise<Element[]> => {
    const { result } = (await get(`query?query=${encodeURIComponent(expression)}`)) as {
      result: { metric: Record<string, string>; value: [number, string] }[];
    };
    return result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1].replace('Inf', 'Infinity')) }));
  };
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(`Prometheus ended with ${child.exitCode}: ${said}`);
    const { status } = await fetch(`http://${address}/-/ready`);
    if (status !== 200) throw new Error(`Prometheus is not ready: ${said}`);
  }, 300);
  return {
    get,
    query,
    async value(expression) {
      const elements = await query(expression);
      if (elements.length > 1) throw new Error(`${elements.length} elements, not one: ${expression}`);
      return elements[0]?.value ?? Number.NaN;
    },
    async stop() {
      child.kill('SIGTERM');
      await exited;
      kill();
      removeDirectory();
    },
  };
}
