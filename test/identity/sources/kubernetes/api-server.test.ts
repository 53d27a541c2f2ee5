/** Names from a real Kubernetes API server into the directory. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../../src/identity/clock.ts';
import { Directory } from '../../../../src/identity/directory.ts';
import { KUBERNETES_DEFAULTS } from '../../../../src/identity/sources/kubernetes/config.ts';
import { describeKubernetes } from '../../../../src/identity/sources/kubernetes/describe.ts';
import { createKubernetesSource } from '../../../../src/identity/sources/kubernetes/source.ts';
import { addressOf } from '../../../../src/semconv/address.ts';
import {
  deletePod,
  grantRole,
  makeNamespace,
  makeNode,
  makeService,
  makeSlice,
  type PodSpec,
  runPod,
  type ServiceSpec,
  writeKubeconfig,
} from '../../../e2e/support/kubernetes-objects.ts';
import { eventually } from '../../../kernel/support/eventually.ts';
import { type ApiServer, apiServerMissing, startApiServer } from '../../../peers/apiserver.ts';
import { sourceSettings } from '../../fakes.ts';

const missing = apiServerMissing();

/** More than a page. */
const CROWD = 520;

describe('a real API server', () => {
  if (missing !== undefined) {
    test.skip(missing, () => undefined);
    return;
  }
  let api: ApiServer;
  let folder: string;
  let kubeconfig: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tcpledger-kubernetes-'));
    api = await startApiServer();
    kubeconfig = writeKubeconfig(api, join(folder, 'kubeconfig'));
    await makeNode(api, 'node-1', 'eu-1', 'eu-1b');
  });

  afterAll(async () => {
    await api?.stop();
    rmSync(folder, { recursive: true });
  });

  const config = () => ({ ...KUBERNETES_DEFAULTS, kubeconfig, node_name: 'node-1' });

  const WEB: ServiceSpec = { name: 'web', namespace: 'crowd', clusterIp: '10.96.7.7', port: 80, target: 'http' };
  const spec = (i: number): PodSpec => ({
    deployment: `web-${i % 10}`,
    suffix: `p${i}`,
    namespace: 'crowd',
    ip: address(i),
  });
  const address = (i: number) => `10.80.${i >> 8}.${i & 255}`;

  test('is told what it may not do, by the server itself, and then may', async () => {
    const { ok, text } = await describeKubernetes(config());
    expect(ok).toBe(false);
    expect(text).toContain(
      'list pods, watch pods, list services, watch services, list endpointslices, watch endpointslices',
    );
    expect(text).toContain(
      'denied. not allowed to list pods (403, pods is forbidden: User "agent" cannot list resource "pods"',
    );
    await grantRole(api);
    await eventually(async () => {
      expect(await describeKubernetes(config())).toMatchObject({ ok: true });
    });
    const wrong = await describeKubernetes({ ...config(), node_name: 'node-2' });
    expect(wrong.text).toContain('there is no node node-2');
  });

  test('has what the server has, follows it, and outlives its absence', async () => {
    await makeNamespace(api, 'crowd');
    await makeService(api, WEB);
    const made = (i: number) => runPod(api, spec(i));
    const uids: string[] = [];
    while (uids.length < CROWD) {
      const next = Array.from({ length: 20 }, (_, i) => uids.length + i);
      uids.push(...(await Promise.all(next.map(made))));
    }
    const pods = uids.map((uid, i) => ({ uid, ip: address(i), name: `web-${i % 10}-7656cf8794-p${i}` }));
    await makeSlice(api, WEB, 8080, pods.slice(0, 100));
    const directory = new Directory(systemClock);
    const source = createKubernetesSource(sourceSettings({ directory, clock: systemClock }), config());
    const { shelf } = source;
    try {
      await source.start();
      await eventually(() => expect(source.missing()).toBeUndefined());
      expect(shelf.workloadCount).toBe(CROWD);
      for (const [i, { uid, name }] of pods.entries()) {
        expect(shelf.byAddress(addressOf(address(i)), undefined)?.workload).toMatchObject({
          name: `web-${i % 10}`,
          namespace: 'crowd',
          podName: name,
          podUid: uid,
          principal: 'spiffe://cluster.local/ns/crowd/sa/default',
          cluster: 'Kubernetes',
          region: 'eu-1',
          zone: 'eu-1b',
        });
      }
      const service = { hostname: 'web.crowd.svc.cluster.local', name: 'web', namespace: 'crowd' };
      expect(shelf.services.byAddress('', addressOf('10.96.7.7'), undefined)?.service).toEqual(service);
      const behind = shelf.byAddress(addressOf(address(99)), undefined)!;
      expect(behind.backed.byTargetPort(8080)).toEqual(service);
      expect(shelf.byAddress(addressOf(address(100)), undefined)!.backed.byTargetPort(8080)).toBeUndefined();
      // An address changes hands.
      await deletePod(api, spec(5));
      await runPod(api, { ...spec(5), deployment: 'heir' });
      await eventually(() => expect(shelf.byAddress(addressOf(address(5)), undefined)?.workload.name).toBe('heir'));
      await api.pause();
      expect(shelf.byAddress(addressOf(address(5)), undefined)?.workload.name).toBe('heir');
      await api.start();
      await deletePod(api, spec(6));
      await eventually(() => expect(shelf.byAddress(addressOf(address(6)), undefined)).toBeUndefined(), 600);
      expect(shelf.workloadCount).toBe(CROWD - 1);
    } finally {
      await source.shutdown();
    }
  });
});
