/**
 * Lists and watches with bytes changed, cut out, doubled and moved, fed to the source's own reader. However bad a stream
 * is, the good list after it must make the directory what it would have been without it.
 */

import type { Clock } from '../../../../../src/identity/clock.ts';
import type { Shelf } from '../../../../../src/identity/directory.ts';
import type { Access } from '../../../../../src/identity/sources/kubernetes/access.ts';
import type { ApiClient, Request } from '../../../../../src/identity/sources/kubernetes/api-client.ts';
import { ApiFailure } from '../../../../../src/identity/sources/kubernetes/api-failure.ts';
import type { Cluster } from '../../../../../src/identity/sources/kubernetes/cluster.ts';
import {
  Reflector,
  type Resource,
  type Store,
  TIMING,
} from '../../../../../src/identity/sources/kubernetes/reflector.ts';
import { RESOURCES } from '../../../../../src/identity/sources/kubernetes/resources.ts';
import type { Trimmed } from '../../../../../src/identity/sources/kubernetes/trimmed.ts';
import { addressOf } from '../../../../../src/semconv/address.ts';
import { emptyCluster } from './cluster.ts';
import { deploymentPod, namespace, node, pod, service, slice } from './objects.ts';
import type { KubeObject } from './scripted-server.ts';

type Kind = keyof typeof RESOURCES;
type Random = () => number;

const PODS = [
  deploymentPod('reviews-v1', 'a', { ip: '10.0.0.1' }),
  deploymentPod('reviews-v1', 'b', { ips: ['10.0.0.2', 'fd00::2'] }),
  deploymentPod('ratings-v1', 'c', { ip: '10.0.0.3', node: 'node-2' }),
  pod('job', { ip: '10.0.0.1', phase: 'Succeeded' }),
  pod('agent', { ip: '192.0.2.1', hostNetwork: true }),
  pod('pending', { phase: 'Pending' }),
];

const WORLD: Readonly<Record<Kind, readonly KubeObject[]>> = {
  pods: PODS,
  services: [
    service('reviews', { clusterIps: ['10.96.0.1'] }),
    service('ratings', { clusterIps: ['10.96.0.2'], externalIps: ['192.0.2.1'] }),
  ],
  endpointSlices: [
    slice('reviews', [PODS[0], PODS[1]]),
    slice('ratings', [PODS[2], '10.0.0.9'], { ports: [{ port: 9080 }] }),
  ],
  nodes: [
    node('node-1', { 'topology.kubernetes.io/zone': 'a' }, ['192.0.2.1']),
    node('node-2', { 'topology.kubernetes.io/zone': 'b' }, ['192.0.2.2']),
  ],
  namespaces: [namespace('default', { 'istio.io/dataplane-mode': 'ambient' })],
};
const KINDS = Object.keys(WORLD) as Kind[];

export interface FuzzReport {
  readonly messages: number;
  /** Streams that were refused; the others were taken for what they said. */
  readonly refused: number;
}

export interface FuzzOptions {
  readonly messages: number;
  readonly seed: number;
  /** Called after each stream with the number of messages so far. */
  readonly afterEach?: (count: number) => void;
}

/** @throws Error naming the seed when the directory is not what it should be. */
export async function fuzz({ messages, seed, afterEach }: FuzzOptions): Promise<FuzzReport> {
  const random = mulberry32(seed);
  const clock = new HurriedClock();
  const { directory, shelf, cluster } = emptyCluster(clock);
  const stores = cluster as unknown as Record<Kind, Store<Trimmed>>;
  const noMutation = (bytes: Buffer) => bytes;
  for (const kind of KINDS) await feed(kind, stores[kind], clock, random, noMutation);
  await cluster.pushed();
  const expected = picture(shelf, cluster);
  let fed = 0;
  let refused = 0;
  while (fed < messages) {
    const kind = KINDS[Math.floor(random() * KINDS.length)]!;
    const result = await feed(kind, stores[kind], clock, random, (bytes) => mutate(bytes, random));
    fed += result.messages;
    refused += result.refused;
    await cluster.pushed();
    const got = picture(shelf, cluster);
    if (got !== expected)
      throw new Error(`seed ${seed}, after ${fed} messages (${kind}):\n${got}\ninstead of\n${expected}`);
    clock.advance(60_000);
    directory.prune();
    if (directory.pool.size > 1_000)
      throw new Error(`seed ${seed}: the directory grows: ${directory.pool.size} workloads`);
    afterEach?.(fed);
  }
  return { messages: fed, refused };
}

/** A list and a watch as `mutation` leaves them; then the version is gone, and all is listed as it is. */
async function feed(
  kind: Kind,
  store: Store<Trimmed>,
  clock: Clock,
  random: Random,
  mutation: (bytes: Buffer) => Buffer,
) {
  const world = WORLD[kind];
  const list = Buffer.from(JSON.stringify({ kind: 'List', metadata: { resourceVersion: '7' }, items: world }));
  const events = Array.from({ length: 10 }, () => {
    const object = world[Math.floor(random() * world.length)]!;
    const type = ['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK'][Math.floor(random() * 4)]!;
    return `${JSON.stringify({ type, object: { ...object, metadata: { ...object.metadata, resourceVersion: '8' } } })}\n`;
  });
  let refused = 0;
  const { promise: settled, resolve: settle } = withResolvers();
  const answers = {
    list: [random() < 0.2 ? mutation(list) : list],
    watch: [mutation(Buffer.from(events.join('')))],
  };
  let expired = false;
  const client: ApiClient = {
    access: async () => ({ credentials: 'none' }) as Access,
    close: () => {},
    async open({ verb, signal }: Request) {
      const bytes = answers[verb].shift();
      if (bytes) return chunked(bytes, random);
      if (verb === 'list') return chunked(list, random);
      if (!expired) {
        expired = true;
        throw new ApiFailure('expired', 'the version is gone');
      }
      settle();
      return silence(signal);
    },
  };
  const reflector = new Reflector<Trimmed>({
    client,
    resource: RESOURCES[kind] as unknown as Resource<Trimmed>,
    store,
    clock,
    timing: TIMING,
    random,
    breathe: () => undefined,
    events: {
      listed() {},
      watching() {},
      malformed() {},
      heard() {},
      failed: ({ kind: reason }) => {
        if (reason === 'malformed') refused++;
      },
    },
  });
  reflector.start();
  await settled;
  await reflector.shutdown();
  return { messages: events.length, refused };
}

/** All that the directory answers. */
function picture(shelf: Shelf, cluster: Cluster): string {
  const addresses = ['10.0.0.1', '10.0.0.2', 'fd00::2', '10.0.0.3', '10.0.0.9', '192.0.2.1', '192.0.2.2'];
  const sizes = [
    shelf.workloadCount,
    shelf.services.size,
    ...KINDS.map((kind) => (cluster as unknown as Record<Kind, Store<Trimmed>>)[kind].size),
  ];
  const answers = addresses.map((address) => {
    const holder = shelf.byAddress(addressOf(address), undefined);
    const ports = [8080, 9080].map((port) => holder?.backed.byTargetPort(port)?.hostname);
    return [address, holder?.workload, holder?.object.hbone, ports];
  });
  const vips = ['10.96.0.1', '10.96.0.2', '192.0.2.1'].map(
    (vip) => shelf.services.byAddress('', addressOf(vip), undefined)?.service.hostname,
  );
  const behind = ['reviews', 'ratings'].map((name) =>
    [...shelf.services.endpoints(`default/${name}.default.svc.cluster.local`)].map(({ object }) => object.uid).sort(),
  );
  return JSON.stringify({ sizes, answers, vips, behind }, null, 1);
}

function mutate(bytes: Buffer, random: Random): Buffer {
  let result = Buffer.from(bytes);
  const times = 1 + Math.floor(random() * 4);
  for (let i = 0; i < times && result.length > 0; i++) {
    const at = Math.floor(random() * result.length);
    const to = Math.min(result.length, at + Math.floor(random() ** 3 * 400));
    const [before, piece, after] = [result.subarray(0, at), result.subarray(at, to), result.subarray(to)];
    switch (Math.floor(random() * 7)) {
      case 0:
        result[at] = Math.floor(random() * 256);
        break;
      case 1:
        result[at]! ^= 1 << Math.floor(random() * 8);
        break;
      case 2:
        result = Buffer.concat([before, after]);
        break;
      case 3:
        result = Buffer.concat([before, piece, piece, after]);
        break;
      case 4:
        result = Buffer.concat([
          before,
          Buffer.from(['{"', '}', ']', '[[[[', '\n', '"', 'null', '1e999', '\\'][Math.floor(random() * 9)]!),
          after,
        ]);
        break;
      case 5:
        result = Buffer.concat([after, before, piece]);
        break;
      default:
        result = Buffer.from(before);
    }
  }
  return result;
}

async function* chunked(bytes: Buffer, random: Random): AsyncIterable<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + Math.floor(random() * 4_000));
    yield bytes.subarray(at, end);
    at = end;
  }
}

/** Says nothing until it is left. */
async function* silence(signal: AbortSignal): AsyncIterable<Buffer> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
}

function withResolvers() {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** Pauses are over at once; what is to guard against silence never comes. */
class HurriedClock implements Clock {
  #now = 1_700_000_000_000;

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.#now;
  }

  advance(ms: number): void {
    this.#now += ms;
  }

  schedule(delayMs: number, task: () => void): () => void {
    if (delayMs > TIMING.backoff.longestMs) return () => {};
    this.#now += delayMs;
    const immediate = setImmediate(task);
    return () => clearImmediate(immediate);
  }
}

/** A generator of numbers in [0, 1) that a seed repeats. */
function mulberry32(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
