/** istiod's own discovery server over an in-memory Kubernetes API: plaintext, on ports of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { undoLater } from '../kernel/support/cleanup.ts';
import { findOrBuild, peerMissing, peerPath } from './binary.ts';

const HERE = import.meta.dirname;

/** Pods, services, entries: what there is at the start unless a test says otherwise. */
const ISTIOD_OBJECTS = join(HERE, 'istiod/objects.yaml');

const binaryPath = (): string => peerPath('wdspeer', ['istiod/main.go', 'istiod/uid.go', 'istiod/go.mod']);

/** Why there is no istiod on this machine; undefined when there is one, or one can be built. */
export const istiodMissing = (): string | undefined => peerMissing('istiod', binaryPath());

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
  const child = spawn(findOrBuild(binaryPath(), 'istiod'), words, { stdio: ['ignore', 'pipe', 'pipe'] });
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
