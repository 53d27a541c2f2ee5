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

/** One element of a range vector, oldest sample first. */
export interface Range {
  readonly labels: Readonly<Record<string, string>>;
  readonly samples: readonly { readonly seconds: number; readonly value: number }[];
}

export interface Prometheus {
  /** An instant query, now or as of a time in Unix seconds. Rejects with what Prometheus says of a query that it refuses. */
  query(expression: string, seconds?: number): Promise<Element[]>;
  /** The same, of a range selector such as `up[1m]`. */
  ranges(selector: string, seconds?: number): Promise<Range[]>;
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
  const ask = async (expression: string, seconds: number | undefined): Promise<Answer[]> => {
    const at = seconds === undefined ? '' : `&time=${seconds}`;
    const { result } = (await get(`query?query=${encodeURIComponent(expression)}${at}`)) as { result: Answer[] };
    return result;
  };
  const query = async (expression: string, seconds?: number): Promise<Element[]> =>
    (await ask(expression, seconds)).map(({ metric, value }) => ({ labels: metric, value: numberOf(value![1]) }));
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(`Prometheus ended with ${child.exitCode}: ${said}`);
    const { status } = await fetch(`http://${address}/-/ready`);
    if (status !== 200) throw new Error(`Prometheus is not ready: ${said}`);
  }, 300);
  return {
    get,
    query,
    async ranges(selector, seconds) {
      return (await ask(selector, seconds)).map(({ metric, values }) => ({
        labels: metric,
        samples: values!.map(([time, value]) => ({ seconds: time, value: numberOf(value) })),
      }));
    },
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

/** Of an instant vector it has `value`, of a range vector `values`. */
interface Answer {
  readonly metric: Record<string, string>;
  readonly value?: readonly [seconds: number, value: string];
  readonly values?: readonly (readonly [seconds: number, value: string])[];
}

const numberOf = (text: string): number => Number(text.replace('Inf', 'Infinity'));
