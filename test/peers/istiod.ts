/** istiod's own discovery server over an in-memory Kubernetes API: plaintext, on ports of its own. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { undoLater } from '../kernel/support/cleanup.ts';

const HERE = import.meta.dirname;

/** Pods, services, entries: what there is at the start unless a test says otherwise. */
const ISTIOD_OBJECTS = join(HERE, 'istiod/objects.yaml');

/** The binary where `build` puts it: named by the sources it is made of. */
function binaryPath(): string {
  const hash = createHash('sha256');
  for (const name of ['main.go', 'uid.go', 'go.mod']) hash.update(readFileSync(join(HERE, 'istiod', name)));
  const id = hash.digest('hex').slice(0, 12);
  return join(process.env.PEERS ?? join(homedir(), '.cache/tcpledger-peers'), `wdspeer-${id}`);
}

/** Why there is no istiod on this machine; undefined when there is one, or one can be built. */
export function istiodMissing(): string | undefined {
  if (existsSync(binaryPath())) return undefined;
  try {
    execFileSync('go', ['version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return `no istiod at ${binaryPath()} and no Go to build it (test/peers/build needs Go 1.26)`;
  }
}

/** A quarter of an hour the first time on a machine. */
function findOrBuild(): string {
  const binary = binaryPath();
  if (!existsSync(binary)) execFileSync(join(HERE, 'build'), ['istiod'], { stdio: ['ignore', 'inherit', 'inherit'] });
  accessSync(binary, constants.X_OK);
  return binary;
}

export interface Istiod {
  /** Of gRPC, on 127.0.0.1. */
  readonly port: number;
  /** Creates or replaces Kubernetes and Istio objects, given as YAML documents. */
  apply(yaml: string): Promise<void>;
  remove(yaml: string): Promise<void>;
  /** Adds so many pods, ten to a service. */
  generate(workloads: number, prefix: string): Promise<void>;
  dropConnections(): Promise<void>;
  /** Whether new connections are closed at once. */
  refuse(on: boolean): Promise<void>;
  stats(): Promise<{ readonly workloads: number; readonly services: number }>;
  stop(): Promise<void>;
}

export interface IstiodOptions {
  /** A YAML file, or '' for none. */
  readonly objects?: string;
  /** Pods to generate before it is ready. */
  readonly generate?: number;
}

export async function startIstiod({ objects = ISTIOD_OBJECTS, generate = 0 }: IstiodOptions = {}): Promise<Istiod> {
  const words = ['-grpc', '127.0.0.1:0', '-http', '127.0.0.1:0', '-gen', String(generate), '-objects', objects];
  const child = spawn(findOrBuild(), words, { stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = undoLater(() => child.kill('SIGKILL'));
  const ready = await firstLine(child);
  const ask = async (method: string, path: string, body?: string): Promise<string> => {
    const response = await fetch(`http://${ready.http}${path}`, { method, ...(body === undefined ? {} : { body }) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text;
  };
  return {
    port: Number(ready.grpc.split(':').at(-1)),
    apply: async (yaml) => void (await ask('POST', '/objects', yaml)),
    remove: async (yaml) => void (await ask('DELETE', '/objects', yaml)),
    generate: async (count, prefix) => void (await ask('POST', `/generate?workloads=${count}&prefix=${prefix}`)),
    dropConnections: async () => void (await ask('POST', '/connections/drop')),
    refuse: async (on) => void (await ask('POST', `/connections/refuse?on=${on}`)),
    stats: async () => JSON.parse(await ask('GET', '/stats')),
    async stop() {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      if (child.exitCode === null) {
        child.kill('SIGTERM');
        await exited;
      }
      kill();
    },
  };
}

/** The line of JSON by which it says that it is ready; rejects with what it said if it ends instead. */
function firstLine(child: ChildProcess): Promise<{ readonly grpc: string; readonly http: string }> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4_000);
    });
    createInterface({ input: child.stdout! }).once('line', (line) => resolve(JSON.parse(line)));
    child.once('exit', (code) => reject(new Error(`istiod ended with ${code}:\n${said}`)));
    child.once('error', reject);
  });
}
