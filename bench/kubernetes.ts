/**
 * What a cluster of 10,000 pods costs: memory, the time to the first state, the longest block of the event loop, and
 * whether memory stays flat and every name right while pods are replaced.
 *
 * Method: an API server of our own in a process of its own serves 10,000 pods of 7 KiB on 100 nodes, 500 services and
 * their slices, in pages of 500 or as asked for. It has the lowest priority: a real one is on another machine and takes
 * no CPU from the agent.
 *
 * The bundled agent's VmRSS is read 10 s after it is ready; the reference, in the same run, is the agent with the source
 * `host`. Then 1,000 pods a minute are replaced, each by another with its address, for 10 minutes (CHURN_MINUTES). VmRSS
 * swings with the collections, of which the whole kind comes every eight minutes or so: its low water of the last three
 * minutes is compared with that of minutes three to five (from the third on as many ended claims are forgotten as are
 * made).
 *
 * Time, blocks (monitorEventLoopDelay, 1 ms) and lookups: the source alone, in this process. At last all pods are
 * replaced at 1,000 a second, sixty times as fast as before, and again, CHURN_ROUNDS times (6). After each round the
 * ended claims, which are kept for a second here, are dropped and all garbage is collected: what is left on the heap after
 * the last three is compared with what was after the first three, and every address with the server's. The machine must
 * be quiet. Not measured: TLS, a remote server.
 *
 *     node bench/run.mjs kubernetes
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { systemClock } from '../src/identity/clock.ts';
import { Directory } from '../src/identity/directory.ts';
import { KUBERNETES_DEFAULTS } from '../src/identity/sources/kubernetes/config.ts';
import { createKubernetesSource } from '../src/identity/sources/kubernetes/source.ts';
import { type Address, addressOf } from '../src/semconv/address.ts';
import { startAgent } from './support/agent.ts';
import { tell } from './support/figures.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

const PODS = 10_000;
const SERVICES = 500;
const NODES = 100;
const CHURN_MINUTES = Number(process.env.CHURN_MINUTES ?? 10);
const REPLACED_A_MINUTE = 1_000;
/** Ended claims are kept for this long by the agent. */
const SETTLED_MINUTES = 3;
const CHURN_ROUNDS = Number(process.env.CHURN_ROUNDS ?? 6);
/** And by the source alone. */
const TOMBSTONE_MS = 1_000;

const ip = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;

/** As a Deployment's pod comes from a busy cluster: probes, variables, volumes, conditions, managed fields. */
function podObject(i: number, generation: number, version: number): object {
  const app = `app-${i % SERVICES}`;
  const uid = `00000000-0000-4000-8000-${String(generation * PODS + i).padStart(12, '0')}`;
  const text = (words: string, count: number) =>
    Array.from({ length: count }, (_, n) => ({ name: `${words}-${n}`, value: `${words} of ${app} ${n}` }));
  return {
    metadata: {
      name: `${app}-7c9f6d8b5-${i}-${generation}`,
      generateName: `${app}-7c9f6d8b5-`,
      namespace: `ns${i % 50}`,
      uid,
      resourceVersion: String(version),
      labels: { app, version: 'v1', 'pod-template-hash': '7c9f6d8b5', team: `team-${i % 20}` },
      annotations: { 'prometheus.io/scrape': 'true', checksum: 'f'.repeat(64) },
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `${app}-7c9f6d8b5`, uid, controller: true }],
      managedFields: [
        {
          manager: 'kubelet',
          operation: 'Update',
          fieldsV1: Object.fromEntries(text('f:field', 30).map(({ name }) => [name, { '.': {} }])),
        },
      ],
    },
    spec: {
      nodeName: `node-${i % NODES}`,
      serviceAccountName: app,
      volumes: text('volume', 5),
      containers: [
        {
          name: 'main',
          image: `registry.example/${app}:1`,
          env: text('VARIABLE', 40),
          volumeMounts: text('mount', 5),
          resources: { limits: { cpu: '1', memory: '1Gi' } },
        },
      ],
    },
    status: {
      phase: 'Running',
      podIP: ip(i),
      podIPs: [{ ip: ip(i) }],
      hostIP: '192.0.2.1',
      conditions: text('Condition', 5),
      containerStatuses: text('status', 5),
    },
  };
}

const podUid = (i: number, generation: number) =>
  `00000000-0000-4000-8000-${String(generation * PODS + i).padStart(12, '0')}`;

function others(resource: string): object[] {
  if (resource === 'services') {
    return Array.from({ length: SERVICES }, (_, i) => ({
      metadata: { name: `app-${i}`, namespace: `ns${i % 50}`, uid: `service-${i}` },
      spec: {
        clusterIP: `10.96.${i >> 8}.${i & 255}`,
        selector: { app: `app-${i}` },
        ports: [{ port: 80, targetPort: 8080 }],
      },
    }));
  }
  if (resource === 'endpointslices') {
    return Array.from({ length: SERVICES }, (_, i) => ({
      metadata: {
        name: `app-${i}-x`,
        namespace: `ns${i % 50}`,
        uid: `slice-${i}`,
        labels: { 'kubernetes.io/service-name': `app-${i}` },
      },
      ports: [{ name: '', port: 8080 }],
      endpoints: Array.from({ length: PODS / SERVICES }, (_, n) => ({
        addresses: [ip(i + n * SERVICES)],
        targetRef: { kind: 'Pod', uid: podUid(i + n * SERVICES, 0) },
      })),
    }));
  }
  if (resource === 'nodes') {
    return Array.from({ length: NODES }, (_, i) => ({
      metadata: {
        name: `node-${i}`,
        uid: `node-${i}`,
        labels: { 'topology.kubernetes.io/region': 'eu-1', 'topology.kubernetes.io/zone': `eu-1${'abc'[i % 3]}` },
      },
      status: { addresses: [{ address: `192.0.2.${i}` }] },
    }));
  }
  return Array.from({ length: 50 }, (_, i) => ({ metadata: { name: `ns${i}`, uid: `ns-${i}` } }));
}

/** The API server: prints its URL; a number and a rate per second on its standard input replace pods, then it says `done`. */
async function serve(): Promise<void> {
  const generations = new Uint16Array(PODS);
  const watches = new Set<ServerResponse>();
  let version = 1;
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url!, 'http://server');
    const resource = pathname.slice(pathname.lastIndexOf('/') + 1);
    if (searchParams.has('watch')) {
      response.writeHead(200).flushHeaders();
      if (resource === 'pods') {
        watches.add(response);
        response.once('close', () => watches.delete(response));
      }
      return;
    }
    const from = Number(searchParams.get('continue') ?? 0);
    const end = from + Number(searchParams.get('limit'));
    const count = resource === 'pods' ? PODS : undefined;
    const items = count
      ? Array.from({ length: Math.min(end, count) - from }, (_, n) =>
          podObject(from + n, generations[from + n]!, version),
        )
      : others(resource).slice(from, end);
    const more = end < (count ?? others(resource).length);
    response.end(
      JSON.stringify({ metadata: { resourceVersion: String(version), ...(more && { continue: String(end) }) }, items }),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  let next = 0;
  for await (const line of process.stdin) {
    const [count, rate] = String(line).trim().split(' ').map(Number) as [number, number];
    const began = performance.now();
    for (let n = 0; n < count; n++) {
      const i = next++ % PODS;
      const gone = podObject(i, generations[i]!, ++version);
      const come = podObject(i, ++generations[i]!, ++version);
      for (const watch of watches) {
        watch.write(
          `${JSON.stringify({ type: 'DELETED', object: gone })}\n${JSON.stringify({ type: 'ADDED', object: come })}\n`,
        );
      }
      const ahead = began + ((n + 1) * 1000) / rate - performance.now();
      if (ahead > 5) await sleep(ahead);
    }
    console.log('done');
  }
}

interface Server {
  readonly url: string;
  /** Replaces pods; resolves when the last has been sent. */
  churn(count: number, perSecond: number): Promise<void>;
  stop(): void;
}

async function startServer(): Promise<Server> {
  const child: ChildProcess = spawn('nice', ['-n', '19', process.execPath, process.argv[1]!, 'serve'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const line = async () => String((await once(child.stdout!, 'data'))[0]).trim();
  const url = await line();
  return {
    url,
    async churn(count, perSecond) {
      child.stdin!.write(`${count} ${perSecond}\n`);
      await line();
    },
    stop: () => child.kill(),
  };
}

function residentMiB(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]) / 1024;
}

async function agentMemory(server: Server) {
  const kubeconfig = `/tmp/tcpledger-bench-kubeconfig-${process.pid}`;
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      'current-context': 'b',
      contexts: [{ name: 'b', context: { cluster: 'b', user: 'b' } }],
      clusters: [{ name: 'b', cluster: { server: server.url } }],
      users: [{ name: 'b', user: {} }],
    }),
  );
  const idle = await startAgent();
  await sleep(10_000);
  const host = residentMiB(idle.pid);
  await idle.stop();
  const agent = await startAgent(undefined, {
    sources: ['kubernetes'],
    kubernetes: { kubeconfig, node_name: 'node-1' },
  });
  await sleep(10_000);
  const synced = residentMiB(agent.pid);
  const churned: number[] = [];
  for (let minute = 1; minute <= CHURN_MINUTES; minute++) {
    await server.churn(REPLACED_A_MINUTE, REPLACED_A_MINUTE / 60);
    churned.push(residentMiB(agent.pid));
  }
  await agent.stop();
  rmSync(kubeconfig);
  return { host, synced, churned };
}

async function alone(server: Server) {
  const silent = () => {};
  const directory = new Directory(systemClock, TOMBSTONE_MS);
  const source = createKubernetesSource(
    {
      logger: { debug: silent, info: silent, warn: console.error, error: console.error },
      telemetry: {
        counter: () => ({ add: silent }),
        histogram: () => ({ record: silent }),
        observe: () => silent,
        collect: () => [],
      },
      clock: systemClock,
      directory,
      cgroups: { start: async () => {} } as never,
      readinessChanged: silent,
    },
    { ...KUBERNETES_DEFAULTS, node_name: 'node-1' },
    { readAccess: async () => ({ server: server.url, verify: true, origin: '', credentials: '' }) as never },
  );
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const began = performance.now();
  await source.start();
  while (source.missing() !== undefined) await sleep(1);
  const syncMs = performance.now() - began;
  await sleep(50);
  const blockMs = delay.max / 1e6;
  const { shelf } = source;
  const addresses = Array.from({ length: PODS }, (_, i) => addressOf(ip(i)));
  const now = Date.now();
  let found = 0;
  const lookups = performance.now();
  for (let round = 0; round < 100; round++) for (const address of addresses) if (shelf.byAddress(address, now)) found++;
  const lookupNs = ((performance.now() - lookups) * 1e6) / (100 * PODS);
  /** The number in the uid of the pod that has the address: each successor's is higher by as many as there are. */
  const serial = (address: Address) => Number(shelf.byAddress(address, undefined)?.workload.podUid?.slice(-12));
  const before = addresses.map(serial);
  const last = addresses.at(-1)!;
  const churnBlocksMs: number[] = [];
  const heapsMiB: number[] = [];
  for (let round = 1; round <= CHURN_ROUNDS; round++) {
    delay.reset();
    await server.churn(PODS, 1_000);
    // Pods are replaced in the order of their addresses. Asking for all of them would be a block of this benchmark's own.
    while (serial(last) !== before.at(-1)! + round * PODS) await sleep(20);
    churnBlocksMs.push(delay.max / 1e6);
    await sleep(TOMBSTONE_MS + 500);
    directory.prune();
    collectGarbage();
    directory.prune();
    heapsMiB.push(process.memoryUsage().heapUsed / 2 ** 20);
  }
  delay.disable();
  const wrong = addresses.filter((address, i) => serial(address) !== before[i]! + CHURN_ROUNDS * PODS).length;
  if (found !== 100 * PODS) throw new Error(`${100 * PODS - found} lookups found nobody`);
  await source.shutdown();
  return {
    syncMs,
    blockMs,
    lookupNs,
    churnBlockMs: Math.max(...churnBlocksMs),
    heapsMiB,
    wrong,
    kept: shelf.workloadCount,
  };
}

async function main(): Promise<void> {
  const server = await startServer();
  try {
    const memory = await agentMemory(server);
    const own = await alone(server);
    tell([
      { name: 'agent, source host: resident memory', measured: memory.host, unit: 'MiB' },
      {
        name: `agent, source kubernetes, ${PODS} pods: resident memory`,
        measured: memory.synced,
        unit: 'MiB',
        atMost: 95,
      },
      {
        name: `resident memory: growth while ${REPLACED_A_MINUTE} pods a minute are replaced`,
        measured:
          Math.min(...memory.churned.slice(-3)) - Math.min(...memory.churned.slice(SETTLED_MINUTES - 1).slice(0, 3)),
        unit: 'MiB',
        atMost: 10,
        note: `by minute: ${memory.churned.map((mib) => mib.toFixed(0)).join(' ')}`,
      },
      { name: 'time to the first state', measured: own.syncMs, unit: 'ms' },
      { name: 'longest block meanwhile', measured: own.blockMs, unit: 'ms', atMost: 20 },
      { name: 'longest block while pods are replaced', measured: own.churnBlockMs, unit: 'ms', atMost: 20 },
      {
        name: `heap after a collection: growth over ${CHURN_ROUNDS * PODS} replacements`,
        measured: (Math.min(...own.heapsMiB.slice(-3)) / Math.min(...own.heapsMiB.slice(0, 3)) - 1) * 100,
        unit: '%',
        atMost: 1,
        note: `by round, MiB: ${own.heapsMiB.map((mib) => mib.toFixed(1)).join(' ')}`,
      },
      { name: 'lookup of an address', measured: own.lookupNs / 1000, unit: 'µs', atMost: 2 },
      { name: 'addresses with a wrong name after the churn', measured: own.wrong, unit: '', atMost: 0 },
      { name: 'workloads too many or too few', measured: Math.abs(own.kept - PODS), unit: '', atMost: 0 },
    ]);
  } finally {
    server.stop();
  }
}

void (process.argv[2] === 'serve' ? serve() : main());
