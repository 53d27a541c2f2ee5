/** A cluster whose pods are replaced, one after the other, each by another with its address, on the source's own reader. */

import type { Access } from '../../../../../src/identity/sources/kubernetes/access.ts';
import type { ApiClient } from '../../../../../src/identity/sources/kubernetes/api-client.ts';
import { Reflector, TIMING } from '../../../../../src/identity/sources/kubernetes/reflector.ts';
import { RESOURCES } from '../../../../../src/identity/sources/kubernetes/resources.ts';
import { addressOf } from '../../../../../src/semconv/address.ts';
import { FakeClock } from '../../../fakes.ts';
import { collectGarbage } from '../../../garbage.ts';
import { emptyCluster } from './cluster.ts';
import { deploymentPod } from './objects.ts';

/** Between two clearings of the directory, as the processor does it. */
const PRUNE_MS = 30_000;

export interface Churn {
  readonly pods: number;
  readonly replacements: number;
  readonly perMinute: number;
  /** Replacements between two samples. */
  readonly sampleEvery: number;
}

export interface Sample {
  readonly replaced: number;
  /** After a collection of all garbage. */
  readonly heapBytes: number;
  /** Addresses that another than their pod's name has. */
  readonly wrong: number;
}

export async function churn({ pods, replacements, perMinute, sampleEvery }: Churn): Promise<readonly Sample[]> {
  const clock = new FakeClock();
  const { directory, shelf, cluster } = emptyCluster(clock);
  const ip = (i: number) => `10.0.${i >> 8}.${i & 255}`;
  const podOf = (i: number, generation: number) =>
    deploymentPod(`app-${i % 100}`, `${i}-${generation}`, {
      uid: `00000000-0000-4000-8000-${String(generation * pods + i).padStart(12, '0')}`,
      ip: ip(i),
      serviceAccount: `app-${i % 100}`,
    });
  const samples: Sample[] = [];
  let replaced = 0;
  const named = (i: number) => shelf.byAddress(addressOf(ip(i)), undefined)?.workload.podName;
  /** The pod that has the address by now: they are replaced in their order, again and again. */
  const rightName = (i: number) => podOf(i, Math.floor((replaced - 1 - i) / pods) + 1).metadata.name;
  const sample = async () => {
    await cluster.pushed();
    await collectGarbage();
    directory.prune();
    await collectGarbage();
    const wrong = Array.from({ length: pods }, (_, i) => i).filter((i) => named(i) !== rightName(i)).length;
    samples.push({ replaced, heapBytes: process.memoryUsage().heapUsed, wrong });
  };
  let over = () => {};
  const done = new Promise<void>((resolve) => {
    over = resolve;
  });
  async function* list(): AsyncIterable<Buffer> {
    const items = Array.from({ length: pods }, (_, i) => podOf(i, 0));
    yield Buffer.from(JSON.stringify({ kind: 'PodList', metadata: { resourceVersion: '1' }, items }));
  }
  async function* watch(signal: AbortSignal): AsyncIterable<Buffer> {
    while (replaced < replacements) {
      const i = replaced % pods;
      const generation = Math.floor(replaced / pods);
      const line = (type: string, of: number) => `${JSON.stringify({ type, object: podOf(i, of) })}\n`;
      replaced++;
      yield Buffer.from(line('DELETED', generation) + line('ADDED', generation + 1));
      const before = clock.now();
      clock.advance(60_000 / perMinute);
      if (Math.floor(clock.now() / PRUNE_MS) > Math.floor(before / PRUNE_MS)) directory.prune();
      if (replaced % sampleEvery === 0) await sample();
      // An API server ends a watch after some minutes.
      if (signal.aborted) return;
    }
    over();
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  }
  const client: ApiClient = {
    access: async () => ({ credentials: 'none' }) as Access,
    close: () => {},
    open: async ({ verb, signal }) => (verb === 'list' ? list() : watch(signal)),
  };
  const nothing = () => {};
  const reflector = new Reflector({
    client,
    resource: RESOURCES.pods,
    store: cluster.pods,
    clock,
    timing: TIMING,
    random: () => 0,
    breathe: () => undefined,
    events: {
      listed: () => shelf.markSynced(),
      watching: nothing,
      malformed: nothing,
      heard: nothing,
      failed: (failure) => {
        throw failure;
      },
    },
  });
  reflector.start();
  await done;
  await reflector.shutdown();
  return samples;
}
