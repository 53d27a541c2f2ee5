/** istiod's own discovery server over an in-memory Kubernetes API, in plaintext on loopback. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { undoLater } from '../kernel/support/cleanup.ts';

const HERE = join(import.meta.dirname, 'istiod');

/** Objects of every kind that matters to naming. */
const OBJECTS = join(HERE, 'objects.yaml');

/** The binary where `build` puts it. */
function binaryPath(): string {
  const sources = readdirSync(HERE).filter((name) => name.endsWith('.go'));
  const hash = createHash('sha256');
  for (const name of [...sources.sort(), 'go.mod']) hash.update(readFileSync(join(HERE, name)));
  const id = hash.digest('hex').slice(0, 12);
  return join(process.env.PEERS ?? join(homedir(), '.cache/tcpledger-peers'), `wdspeer-${id}`);
}

/** Why there is no istiod on this machine; undefined when there is one. */
export function istiodMissing(): string | undefined {
  if (existsSync(binaryPath())) return undefined;
  return `no istiod at ${binaryPath()} (test/peers/build istiod makes it; it needs Go 1.26)`;
}

export interface Istiod {
  /** Of the discovery service, on 127.0.0.1. */
  readonly port: number;
  /** Creates or replaces the objects of a YAML text. */
  apply(yaml: string): Promise<void>;
  delete(yaml: string): Promise<void>;
  /** Ends all connections of clients. */
  drop(): Promise<void>;
  stop(): Promise<void>;
}

/** `objects`: a YAML file; `generate`: how many pods to make beside it. */
export async function startIstiod({ objects = OBJECTS, generate = 0 } = {}): Promise<Istiod> {
  const binary = binaryPath();
  accessSync(binary, constants.X_OK);
  const child = spawn(
    binary,
    ['-objects', objects, '-gen', String(generate), '-grpc', '127.0.0.1:0', '-http', '127.0.0.1:0'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const kill = undoLater(() => child.kill('SIGKILL'));
  const { grpc, http } = await ready(child);
  const call = async (method: string, path: string, body?: string) => {
    const response = await fetch(`http://${http}${path}`, { method, ...(body === undefined ? {} : { body }) });
    if (!response.ok) throw new Error(`istiod: ${method} ${path}: ${response.status} ${await response.text()}`);
  };
  return {
    port: Number(grpc.split(':').at(-1)),
    apply: (yaml) => call('POST', '/objects', yaml),
    delete: (yaml) => call('DELETE', '/objects', yaml),
    drop: () => call('POST', '/connections/drop'),
    async stop() {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await exited;
      kill();
    },
  };
}

/** The one line that it prints once it serves. */
function ready(child: ChildProcess): Promise<{ grpc: string; http: string }> {
  return new Promise((resolve, reject) => {
    let [out, errors] = ['', ''];
    child.stderr!.on('data', (chunk) => {
      errors += chunk;
    });
    child.once('exit', (code) => reject(new Error(`istiod has exited with ${code}: ${errors}`)));
    child.stdout!.on('data', (chunk) => {
      out += chunk;
      if (out.includes('\n')) resolve(JSON.parse(out));
    });
  });
}
