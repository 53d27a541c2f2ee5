/** A real Kubernetes API server with an etcd behind it, both on loopback; nothing else of a cluster runs. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { undoLater } from '../kernel/support/cleanup.ts';
import { freePort } from '../kernel/support/free-port.ts';
import { peerPath } from './binary.ts';

const binaryPath = (): string => peerPath('kube-apiserver', ['apiserver/go.mod']);

/** Why there is no API server on this machine; undefined when there is one. */
export function apiServerMissing(): string | undefined {
  if (!existsSync(binaryPath()))
    return `no API server at ${binaryPath()} (test/peers/apiserver/build makes it; it needs Go)`;
  try {
    execFileSync('etcd', ['--version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'no etcd (package etcd-server)';
  }
}

export interface ApiServer {
  readonly port: number;
  /** `https://127.0.0.1:PORT`. */
  readonly url: string;
  /** Path of the PEM that its certificate is trusted by. */
  readonly caFile: string;
  /** In the group system:masters. */
  readonly adminToken: string;
  /** The token of the user `agent`, who may do nothing until he is given a role. */
  readonly agentToken: string;
  /** As the administrator. @throws Error with the server's words unless the answer is a 2xx. */
  call(method: string, path: string, body?: object): Promise<Record<string, unknown>>;
  /** Stops the API server; its etcd goes on. `start` brings it back on the same port. */
  pause(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface ApiServerOptions {
  /** As in a cluster: a pod's service account must be there, and its token is mounted. */
  readonly serviceAccounts?: boolean;
  readonly flags?: readonly string[];
}

export async function startApiServer({
  serviceAccounts = false,
  flags = [],
}: ApiServerOptions = {}): Promise<ApiServer> {
  const binary = binaryPath();
  accessSync(binary, constants.X_OK);
  const folder = mkdtempSync(join(tmpdir(), 'tcpledger-apiserver-'));
  const etcdUrl = `http://127.0.0.1:${await freePort()}`;
  const peerUrl = `http://127.0.0.1:${await freePort()}`;
  const port = await freePort();
  const url = `https://127.0.0.1:${port}`;
  const [adminToken, agentToken] = ['admin-token', 'agent-token'];
  const caFile = join(folder, 'apiserver.crt');
  const keyFile = join(folder, 'service-accounts.key');
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(join(folder, 'tokens.csv'), `${adminToken},admin,1,system:masters\n${agentToken},agent,2\n`);
  const etcd = start('etcd', [
    `--data-dir=${join(folder, 'etcd')}`,
    '--unsafe-no-fsync',
    `--listen-client-urls=${etcdUrl}`,
    `--advertise-client-urls=${etcdUrl}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=default=${peerUrl}`,
  ]);
  const command = [
    `--etcd-servers=${etcdUrl}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--cert-dir=${folder}`,
    `--token-auth-file=${join(folder, 'tokens.csv')}`,
    '--authorization-mode=RBAC',
    ...(serviceAccounts ? [] : ['--disable-admission-plugins=ServiceAccount']),
    '--service-cluster-ip-range=10.96.0.0/16',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${keyFile}`,
    `--service-account-signing-key-file=${keyFile}`,
    // No leader, no endpoints of its own: the tests make all there is.
    '--endpoint-reconciler-type=none',
    ...flags,
  ];
  let server: Child | undefined;
  const api: ApiServer = {
    port,
    url,
    caFile,
    adminToken,
    agentToken,
    call: (method, path, body) => call(api, method, path, body),
    async pause() {
      await server?.stop();
      server = undefined;
    },
    async start() {
      server = start(binary, command);
      await ready(api, server);
    },
    async stop() {
      await server?.stop();
      await etcd.stop();
      rmSync(folder, { recursive: true });
    },
  };
  await api.start();
  return api;
}

interface Child {
  readonly process: ChildProcess;
  said(): string;
  stop(): Promise<void>;
}

const LAST_WORDS = 4_000;

function start(command: string, args: readonly string[]): Child {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-LAST_WORDS);
  });
  child.on('error', (error) => {
    said += error.message;
  });
  const kill = undoLater(() => child.kill('SIGKILL'));
  return {
    process: child,
    said: () => said,
    async stop() {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      if (child.exitCode === null && child.signalCode === null) {
        // Nothing of it is kept, and its own leave-taking takes a minute.
        child.kill('SIGKILL');
        await exited;
      }
      kill();
    },
  };
}

/** @throws Error with the server's last words if it ends. */
async function ready(api: ApiServer, server: Child): Promise<void> {
  for (;;) {
    if (server.process.exitCode !== null)
      throw new Error(`the API server ended with ${server.process.exitCode}:\n${server.said()}`);
    const answered = await api.call('GET', '/readyz').then(
      () => true,
      () => false,
    );
    if (answered) return;
    await delay(100);
  }
}

async function call(api: ApiServer, method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const agent = new Agent({ ca: readFileSync(api.caFile) });
  try {
    return await new Promise((resolve, reject) => {
      const patch = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
      const headers = { authorization: `Bearer ${api.adminToken}`, 'content-type': patch };
      const sent = request(api.url + path, { method, agent, headers }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        response.on('error', reject);
        response.on('end', () => {
          const { statusCode = 0 } = response;
          if (statusCode < 200 || statusCode > 299) reject(new Error(`${method} ${path}: ${statusCode} ${text}`));
          else resolve(text.startsWith('{') ? JSON.parse(text) : { text });
        });
      });
      sent.on('error', reject);
      sent.end(body && JSON.stringify(body));
    });
  } finally {
    agent.destroy();
  }
}
