/** Makes a server of this machine's loopback reachable in a network namespace, at an address of that one; by TLS if asked to. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { undoLater } from '../../../kernel/support/cleanup.ts';
import type { Namespace } from '../../../kernel/support/namespace.ts';

/** In the namespace: what connects to the address goes through a socket in the file system, which has no network. */
const INSIDE =
  "const { connect, createServer } = require('node:net');" +
  'const [host, port, path] = process.argv.slice(1);' +
  'createServer({ allowHalfOpen: true }, (near) => {' +
  'const far = connect({ path, allowHalfOpen: true });' +
  "for (const socket of [near, far]) socket.on('error', () => { near.destroy(); far.destroy(); });" +
  'near.pipe(far).pipe(near);' +
  "}).listen(Number(port), host, () => process.stdout.write('listening'));";

/** PEM texts: what is forwarded comes by TLS and goes on in plaintext, HTTP/2 as gRPC is. */
interface ServerTls {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Resolves, when it listens, to the function that ends it. */
export async function forward(
  namespace: Namespace,
  host: string,
  port: number,
  to: number,
  tls?: ServerTls,
): Promise<() => void> {
  const directory = mkdtempSync(join(tmpdir(), 'tcpledger-forward-'));
  const path = join(directory, 'socket');
  const open = new Set<Socket>();
  const accept = (near: Socket) => {
    const far = connect({ port: to, host: '127.0.0.1', allowHalfOpen: true });
    for (const socket of [near, far]) {
      open.add(socket);
      socket.once('close', () => open.delete(socket));
      socket.on('error', () => {
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far).pipe(near);
  };
  const server =
    tls === undefined
      ? createServer({ allowHalfOpen: true }, accept)
      : createTlsServer({ ...tls, ALPNProtocols: ['h2'] }, accept);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const words = [`--net=/run/netns/${namespace.name}`, process.execPath, '-e', INSIDE, host, String(port), path];
  const child = spawn('nsenter', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const end = undoLater(() => {
    child.kill('SIGKILL');
    for (const socket of open) socket.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`nothing listens at ${host}:${port}: exit code ${code}`)));
    child.once('error', reject);
  });
  return end;
}
