/**
 * Pods of a mesh whose control plane does not tell their UIDs: their sockets are named by address, and the cgroup adds
 * the pod's UID and the container, at the price of one walk where the cgroup is new.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Node, parseDocument } from 'yaml';
import { createIdentityProcessor, identityProcessor } from '../../../../src/identity/processor.ts';
import { createCgroupTree, WALK_GAP_MS } from '../../../../src/identity/sources/cgroup-tree.ts';
import type { Peers } from '../../../../src/identity/types.ts';
import {
  batchOf,
  FakeClock,
  FakeHost,
  FakeLogger,
  FakePairSource,
  PairSink,
  pipeline,
  SENT,
  settings,
} from '../../fakes.ts';
import { ControlPlane } from '../ads/support/control-plane.ts';
import { mesh } from '../ads/support/mesh.ts';
import { eventually, pod, response } from '../istiod/support/rig.ts';
import { discoveryServer } from './support/discovery-server.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Each has the same pod at the same address: of `db` at 10.0.2.1. */
const CONTROL_PLANES = {
  async istiod() {
    const server = await discoveryServer({
      onRequest: (stream) => stream.requests.length === 1 && stream.respond(response([pod('db', '10.0.2.1')])),
    });
    cleanups.push(() => server.close());
    return server.port;
  },
  async ads() {
    const plane = new ControlPlane();
    mesh(plane);
    await plane.start();
    cleanups.push(() => plane.stop());
    return plane.port;
  },
} as const;

const UID = '0a1b2c3d-0000-4000-8000-00000000000a';
const container = (digit: string) => `kubepods.slice/kubepods-pod${UID.replaceAll('-', '_')}.slice/${digit.repeat(64)}`;

async function start(type: keyof typeof CONTROL_PLANES) {
  const port = await CONTROL_PLANES[type]();
  const root = mkdtempSync(join(tmpdir(), 'tcpledger-containers-'));
  cleanups.push(() => rmSync(root, { recursive: true }));
  /** The id of the container's cgroup, made if it is not there. */
  const cgroup = (digit: string) => {
    mkdirSync(join(root, container(digit)), { recursive: true });
    return statSync(join(root, container(digit))).ino;
  };
  const before = cgroup('a');
  const clock = new FakeClock();
  const host = new FakeHost();
  const text = `{sources: [${type}], ${type}: {endpoint: "127.0.0.1:${port}", tls: {insecure: true}}}`;
  const config = identityProcessor.schema.parse(parseDocument(text).contents as Node, '', () => {});
  const identity = createIdentityProcessor(settings(), config, {
    clock,
    cgroups: createCgroupTree({ clock, logger: new FakeLogger(), mountPoint: root }),
    nodeAddresses: { has: () => false },
  });
  cleanups.push(() => identity.shutdown(new AbortController().signal));
  const sink = new PairSink();
  const metrics = identity.metrics!(sink, pipeline('metrics'));
  await identity.start(host);
  await eventually(() => host.missing.size).toBe(0);
  const source = new FakePairSource();
  return {
    clock,
    before,
    cgroup,
    /** What a connection of that cgroup to another address of the mesh's pod is named; undefined while it waits. */
    connect(cgroupId: number): () => Peers | undefined {
      const pair = source.add(clock, { localAddress: '10.0.2.1', remoteAddress: '10.0.2.1', cgroupId });
      metrics.consume(batchOf(source, clock.bootNs, [[pair, { [SENT]: 1 }]]));
      return () => sink.rows.find(({ slot }) => slot === pair.slot)?.peers;
    },
  };
}

describe.each(['istiod', 'ads'] as const)('a pod of %s', (type) => {
  const named = (digit: string) => ({
    source: { name: 'db' },
    container: { podUid: UID, containerId: digit.repeat(64) },
  });

  it('has its container where the cgroup was there before the agent', async () => {
    const { connect, before } = await start(type);
    expect(connect(before)()).toMatchObject(named('a'));
  });

  it('waits for one walk where the cgroup is new, and no longer', async () => {
    const { connect, cgroup, clock } = await start(type);
    const peers = connect(cgroup('b'));
    expect(peers()).toBeUndefined();
    clock.advance(WALK_GAP_MS);
    await eventually(() => {
      clock.advance(0);
      return peers();
    }).toMatchObject(named('b'));
  });

  it('is named without it, after one walk, where the cgroup is outside of what is mounted; the next one at once', async () => {
    const { connect, clock } = await start(type);
    const elsewhere = 4_000_000_000;
    const peers = connect(elsewhere);
    clock.advance(WALK_GAP_MS);
    await eventually(() => {
      clock.advance(0);
      return peers();
    }).toMatchObject({ source: { name: 'db' } });
    expect(peers()?.container).toBeUndefined();
    expect(connect(elsewhere)()).toMatchObject({ source: { name: 'db' } });
  });
});
