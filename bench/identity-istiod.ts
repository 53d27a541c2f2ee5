/**
 * A mesh of 100,000 workloads from istiod: the time until all of it is known, the longest block of the event loop on the
 * way, and the memory that it takes.
 *
 * Method: a control plane of our own in a process of its own answers the subscription with one message of 100,000
 * workloads and 10,000 services, as istiod encodes it (10 workloads a service, an owner each, 200 nodes; the message is
 * made before the measurement). The identity processor of this process connects to it over plaintext gRPC on the
 * loopback. Time: from start to synced. Block: monitorEventLoopDelay at 1 ms, from start to synced. Memory: VmRSS of a
 * whole agent (the bundle, as root) on the same mesh, scraped every five seconds as Prometheus would, thirty seconds after
 * it was ready; beside it what it had when it was ready, and the peak (VmHWM). The reference in the same run is the bare
 * protobuf walk over the same message (every field passed over, nothing kept).
 *
 *     node bench/run.mjs identity-istiod
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import type { Host, Settings } from '../src/collector/component.ts';
import { createIdentityProcessor } from '../src/identity/processor.ts';
import { DELTA_METHOD } from '../src/identity/sources/istiod/delta.ts';
import { ProtobufReader } from '../src/identity/sources/xds/protobuf-reader.ts';
import { startAgent } from './support/agent.ts';
import { type Figure, tell } from './support/figures.ts';
import { discoveryMessage } from './support/mesh.ts';

const WORKLOADS = 100_000;
const SERVICES = WORKLOADS / 10;

const asIs = (bytes: Buffer): Buffer => bytes;

/** The control plane: sends its port when it listens. */
async function serve(): Promise<void> {
  const message = discoveryMessage(WORKLOADS, SERVICES);
  const server = new Server({ 'grpc.max_send_message_length': -1 });
  const method = {
    path: DELTA_METHOD,
    requestStream: true,
    responseStream: true,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  } as const;
  server.addService(
    { Delta: method },
    {
      Delta(call: ServerDuplexStream<Buffer, Buffer>) {
        call.once('data', () => call.write(message));
        call.on('end', () => call.end());
        call.resume();
      },
    },
  );
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    process.send!(port);
  });
  process.on('disconnect', () => process.exit());
}

const silent = () => {};
const settings: Settings = {
  id: 'identity',
  logger: { debug: silent, info: silent, warn: console.error, error: console.error },
  telemetry: {
    counter: () => ({ add: silent }),
    histogram: () => ({ record: silent }),
    observe: () => silent,
    collect: () => [],
  },
  version: 'bench',
};

async function measure(): Promise<void> {
  const server = fork(fileURLToPath(import.meta.url), ['serve']);
  const [port] = await once(server, 'message');
  const config = {
    sources: ['istiod'],
    resolve_timeout: 5_000,
    series_ttl: 900_000,
    istiod: {
      endpoint: { host: '127.0.0.1', port },
      token_file: '',
      tls: { ca_file: '', insecure: true, server_name_override: '' },
      cluster_id: 'Kubernetes',
      network: '',
      on_demand: false,
    },
  };
  const identity = createIdentityProcessor(
    settings,
    config as unknown as Parameters<typeof createIdentityProcessor>[1],
  );
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const synced = new Promise<void>((resolve) => {
    const host: Host = {
      extension: () => undefined,
      setReady: (_id, missing) => missing === undefined && resolve(),
      notReady: () => new Map(),
      fail: (error) => {
        throw error;
      },
    };
    delay.enable();
    void identity.start(host);
  });
  const began = performance.now();
  const cpu = process.cpuUsage();
  await synced;
  const syncedMs = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  delay.disable();
  const blockMs = delay.max / 1e6 - 1;
  await identity.shutdown(new AbortController().signal);
  const memory = await agentMemory(`127.0.0.1:${port}`);
  server.disconnect();

  const message = discoveryMessage(WORKLOADS, SERVICES);
  const walkBegan = performance.now();
  walk(message);
  const walkMs = performance.now() - walkBegan;
  const figures: Figure[] = [
    {
      name: `${WORKLOADS} workloads, ${SERVICES} services: until synced`,
      measured: syncedMs / 1000,
      unit: 's',
      atMost: 1.5,
      note: `CPU time of all threads ${((user + system) / 1e6).toFixed(2)} s; ${(message.length / 1e6).toFixed(0)} MB, a bare walk over them ${walkMs.toFixed(0)} ms`,
    },
    { name: 'longest block of the event loop', measured: blockMs, unit: 'ms', atMost: 20 },
    {
      name: 'resident, a whole agent',
      measured: memory.resident,
      unit: 'MB',
      atMost: 200,
      note: `when ready ${memory.ready.toFixed(0)} MB, peak ${memory.peak.toFixed(0)} MB`,
    },
  ];
  tell(figures);
}

/** Megabytes. */
async function agentMemory(endpoint: string): Promise<{ ready: number; resident: number; peak: number }> {
  const agent = await startAgent(undefined, { sources: ['istiod'], istiod: { endpoint, tls: { insecure: true } } });
  const read = (field: 'VmRSS' | 'VmHWM'): number => {
    const status = readFileSync(`/proc/${agent.pid}/status`, 'latin1');
    return (Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)![1]) * 1024) / 1e6;
  };
  try {
    const ready = read('VmRSS');
    for (let scrapes = 0; scrapes < 6; scrapes++) {
      await sleep(5_000);
      await agent.metrics();
    }
    return { ready, resident: read('VmRSS'), peak: read('VmHWM') };
  } finally {
    await agent.stop();
  }
}

/** Every field of every resource, two levels down, and nothing made of it. */
function walk(message: Buffer): void {
  const reader = new ProtobufReader(message);
  while (reader.next()) {
    if (reader.field !== 2) continue;
    const outer = reader.enter();
    while (reader.next());
    reader.leave(outer);
  }
}

void (process.argv[2] === 'serve' ? serve() : measure());
