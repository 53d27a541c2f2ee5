/** The bundled agent as a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PROJECT } from './project.ts';

export interface Agent {
  readonly pid: number;
  readonly port: number;
  /** User CPU time so far, in microseconds: utime of /proc/<pid>/stat, in clock ticks of 10 ms. */
  userUs(): number;
  metrics(): Promise<string>;
  stop(): Promise<void>;
}

/** Exporters of the logs pipeline by id; undefined: the access log to /dev/null; {}: no logs pipeline. */
export async function startAgent(
  logExporters?: Record<string, object>,
  identity: object = { sources: ['host'] },
): Promise<Agent> {
  const directory = mkdtempSync(join(tmpdir(), 'tcpledger-bench-'));
  const port = await freePort();
  const logs = logExporters ?? { access_log: { output: '/dev/null' } };
  const pipeline = { receivers: ['ebpf_tcp'], processors: ['identity'] };
  const config = {
    receivers: { ebpf_tcp: {} },
    processors: { identity },
    exporters: { prometheus: { endpoint: `127.0.0.1:${port}` }, ...logs },
    service: {
      telemetry: { logs: { level: 'warn' } },
      pipelines: {
        metrics: { ...pipeline, exporters: ['prometheus'] },
        ...(Object.keys(logs).length > 0 ? { logs: { ...pipeline, exporters: Object.keys(logs) } } : {}),
      },
    },
  };
  const file = join(directory, 'config.yaml');
  writeFileSync(file, JSON.stringify(config));
  const child = spawn(process.execPath, [join(PROJECT, 'dist', 'tcpledger.cjs'), 'run', '--config', file], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await untilReady(child, port);
  const pid = child.pid!;
  return {
    pid,
    port,
    userUs() {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[11]) * 10_000;
    },
    metrics: async () => (await fetch(`http://127.0.0.1:${port}/metrics`)).text(),
    async stop() {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
      rmSync(directory, { recursive: true });
    },
  };
}

async function untilReady(child: ChildProcess, port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) throw new Error(`the agent ended with exit code ${child.exitCode}`);
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`).then(
      (response) => response.ok,
      () => false,
    );
    if (ready) return;
    await sleep(50);
  }
  throw new Error('the agent did not get ready');
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
