/** Runs the agent as an operator does: a configuration file, a page, a log file, a signal to stop it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LogLine, parseLog } from './access-log.ts';
import { undoLater } from './cleanup.ts';
import { run } from './command.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { type TestService, type TestWorkload, writeIdentityFile } from './identity-file.ts';
import type { Namespace } from './namespace.ts';
import { Page } from './prometheus-text.ts';

const PROGRAM = join(import.meta.dirname, '..', '..', '..', 'dist', 'tcpledger.cjs');

/** An exporter beside the page and the log file, and the pipelines it is in. */
export interface MoreExporter {
  readonly signals: readonly ('metrics' | 'logs')[];
  readonly config: Readonly<Record<string, unknown>>;
}

/**
 * Of the identity processor, where all names are known beforehand: who is not known then is waited for in vain, by
 * default for 5 s.
 */
export const NAMES_KNOWN = { resolve_timeout: '1s' } as const;

export interface AgentOptions {
  readonly workloads?: readonly TestWorkload[];
  readonly services?: readonly TestService[];
  /** Over the receiver's defaults of these tests. */
  readonly receiver?: Readonly<Record<string, unknown>>;
  readonly identity?: Readonly<Record<string, unknown>>;
  /** OTLP/HTTP endpoint to which log records go beside the log file. */
  readonly logsTo?: string;
  /** Where the access log goes instead of a file that log() reads, as `/dev/null`. */
  readonly logOutput?: string;
  /** By id, as `otlp_grpc`. */
  readonly exporters?: Readonly<Record<string, MoreExporter>>;
  /** By id, as `file_storage`. */
  readonly extensions?: Readonly<Record<string, unknown>>;
  /** Capabilities that it does not get, as `net_admin`. */
  readonly withoutCapabilities?: readonly string[];
  /** Whose network it has, as on a node the host's; that of the tests if it is not given. */
  readonly namespace?: Namespace;
  /** Where configuration, identity file and log are, if they are to outlive the agent: an agent started again goes on there. */
  readonly directory?: string;
}

export interface Agent {
  readonly pid: number;
  readonly url: string;
  /** The configuration as the agent read it. Others may be written in its place. */
  readonly configFile: string;
  readonly identityFile: string;
  readonly logFile: string;
  scrape(): Promise<Page>;
  /** The access log so far. */
  log(): LogLine[];
  /** Standard error so far: the agent's own log. */
  stderr(): string;
  /** Replaces the identity file; resolves when it is written, not when it is read. */
  rename(workloads: readonly TestWorkload[]): void;
  /** Bytes of the last scrape's request: what its own connection may add to the totals that it reads. */
  requestBytes(): number;
  /** Resident memory in bytes. */
  residentBytes(): number;
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL. */
  kill(): Promise<void>;
}

/** Resolves when /readyz says yes; rejects with what the agent wrote if it ends before. */
export async function startAgent(options: AgentOptions = {}): Promise<Agent> {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run "npm run build"`);
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'tcpledger-test-'));
  const removeDirectory = undoLater(() => {
    if (options.directory === undefined) rmSync(directory, { recursive: true });
  });
  const identityFile = join(directory, 'workloads.json');
  const logFile = join(directory, 'access.log');
  const port = await freePort();
  writeIdentityFile(identityFile, options.workloads ?? [], options.services);
  const configFile = join(directory, 'config.json');
  writeFileSync(configFile, JSON.stringify(configuration(options, port, identityFile, logFile), null, 2));

  // dies with the process that runs the tests, even if that is killed
  const without = options.withoutCapabilities?.map((capability) => `-${capability}`).join(',');
  const limits = ['--pdeathsig', 'KILL', ...(without === undefined ? [] : ['--bounding-set', without])];
  const program = [...inside(options.namespace), process.execPath, PROGRAM, 'run', '--config', configFile];
  const child = spawn('setpriv', [...limits, ...program], { stdio: ['ignore', 'ignore', 'pipe'] });
  const kill = undoLater(() => child.kill('SIGKILL'));
  let stderr = '';
  child.stderr!.on('data', (text: Buffer) => {
    stderr += text.toString();
  });
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => resolve(code));
  });
  const url = `http://127.0.0.1:${port}`;
  const ended = async (): Promise<number | null> => {
    const code = await exited;
    kill();
    removeDirectory();
    return code;
  };

  const fetchText = options.namespace === undefined ? fetchHere : fetchIn(options.namespace);
  await ready(
    child,
    () => fetchText(`${url}/readyz`),
    () => stderr,
  );
  let lastLog: LogLine[] = [];
  let lastState = '';
  /** Parses it once for each state of the file: hundreds of tests of one agent look at it. */
  const readLog = (): LogLine[] => {
    if (!existsSync(logFile)) return lastLog;
    const { ino, size, mtimeNs } = statSync(logFile, { bigint: true });
    const state = [ino, size, mtimeNs].join();
    if (state !== lastState) lastLog = parseLog(readFileSync(logFile, 'utf8'));
    lastState = state;
    return lastLog;
  };
  let lastRequest = 0;
  return {
    pid: child.pid!,
    url,
    configFile,
    identityFile,
    logFile,
    scrape: async () => {
      const { body, requestBytes } = await fetchText(`${url}/metrics`);
      lastRequest = requestBytes;
      return new Page(body);
    },
    requestBytes: () => lastRequest,
    log: readLog,
    stderr: () => stderr,
    rename: (workloads) => writeIdentityFile(identityFile, workloads, options.services),
    residentBytes: () => {
      const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))!;
      return Number(kilobytes) * 1024;
    },
    signal: (signal) => child.kill(signal),
    async stop() {
      child.kill('SIGTERM');
      const code = await exited;
      // what the agent wrote while it stopped belongs to the log
      readLog();
      await ended();
      return code;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended();
    },
  };
}

function configuration(options: AgentOptions, port: number, identityFile: string, logFile: string): unknown {
  const more: Record<string, MoreExporter> = {
    ...(options.logsTo === undefined ? {} : { otlp_http: { signals: ['logs'], config: { endpoint: options.logsTo } } }),
    ...options.exporters,
  };
  const pipeline = (signal: 'metrics' | 'logs', first: string) => ({
    receivers: ['ebpf_tcp'],
    processors: ['identity'],
    exporters: [first, ...Object.keys(more).filter((id) => more[id]!.signals.includes(signal))],
  });
  return {
    receivers: { ebpf_tcp: { settle_interval: '200ms', ...options.receiver } },
    processors: {
      // a section of a source that is not asked for would be a mistake
      identity:
        options.identity?.sources === undefined
          ? { sources: ['file'], file: { path: identityFile }, ...options.identity }
          : options.identity,
    },
    exporters: {
      prometheus: { endpoint: `127.0.0.1:${port}` },
      access_log: { format: 'json', output: options.logOutput ?? logFile },
      ...Object.fromEntries(Object.entries(more).map(([id, { config }]) => [id, config])),
    },
    ...(options.extensions === undefined ? {} : { extensions: options.extensions }),
    service: {
      pipelines: { metrics: pipeline('metrics', 'prometheus'), logs: pipeline('logs', 'access_log') },
    },
  };
}

async function ready(child: ChildProcess, ask: () => Promise<Fetched>, stderr: () => string): Promise<void> {
  await eventually(async () => {
    if (child.exitCode !== null) return;
    const { status, body } = await ask();
    if (status !== 200) throw new Error(`not ready: ${body}\n${stderr()}`);
  }, 300);
  if (child.exitCode !== null) throw new Error(`the agent ended with ${child.exitCode}:\n${stderr()}`);
}

/** What to run a program with so that it has that network, and all else as it is here. */
const inside = (namespace: Namespace | undefined): string[] =>
  namespace === undefined ? [] : ['nsenter', `--net=/run/netns/${namespace.name}`];

interface Fetched {
  readonly status: number;
  readonly body: string;
  readonly requestBytes: number;
}

/** The same by a process in that network. */
export function fetchIn(namespace: Namespace): (url: string) => Promise<Fetched> {
  const [nsenter, ...where] = inside(namespace);
  const script =
    "require('node:http').get(process.argv[1], { agent: false }, (response) => {" +
    "const requestBytes = response.socket.bytesWritten; let body = '';" +
    "response.setEncoding('utf8').on('data', (part) => { body += part; });" +
    "response.on('end', () => process.stdout.write(JSON.stringify({ status: response.statusCode, body, requestBytes })));" +
    '});';
  return async (url) => JSON.parse(await run(nsenter!, [...where, process.execPath, '-e', script, url])) as Fetched;
}

/** A connection of its own for each request, which is over when this resolves. */
function fetchHere(url: string): Promise<Fetched> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      const parts: Buffer[] = [];
      const requestBytes = response.socket.bytesWritten;
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () =>
        resolve({ status: response.statusCode!, body: Buffer.concat(parts).toString(), requestBytes }),
      );
      response.on('error', reject);
    }).on('error', reject);
  });
}
