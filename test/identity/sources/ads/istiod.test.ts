/** Against istiod itself: what a sidecar is told gives the names that the workload API gives, as far as it tells them. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../../src/identity/clock.ts';
import { Directory, type Shelf } from '../../../../src/identity/directory.ts';
import type { Source } from '../../../../src/identity/source.ts';
import { createAdsSource, describeAds } from '../../../../src/identity/sources/ads/source.ts';
import { createIstiodSource } from '../../../../src/identity/sources/istiod/source.ts';
import type { Machine } from '../../../../src/identity/sources/xds/node.ts';
import { addressOf } from '../../../../src/semconv/address.ts';
import { type Istiod, istiodMissing, startIstiod } from '../../../peers/istiod.ts';
import { FakeLogger, sourceSettings } from '../../fakes.ts';
import { configFor, MACHINE, until } from './support/rig.ts';

/** A node of both families, so that it is told what listens in both. */
const DUAL: Machine = { ...MACHINE, env: { ...MACHINE.env, INSTANCE_IPS: '10.0.1.200,fd00:10::200' } };

const SIX = `
apiVersion: v1
kind: Pod
metadata:
  name: six-7c9f8d6b5-aaaaa
  namespace: shop
  uid: 22222222-0000-0000-0000-000000000001
  labels: {app: six, pod-template-hash: 7c9f8d6b5}
  ownerReferences:
  - {apiVersion: apps/v1, kind: ReplicaSet, name: six-7c9f8d6b5, uid: rs-6, controller: true}
spec: {nodeName: node-b, serviceAccountName: six}
status:
  phase: Running
  podIP: "fd00:10::61"
  podIPs: [{ip: "fd00:10::61"}]
  conditions: [{type: Ready, status: "True"}]
---
apiVersion: v1
kind: Service
metadata: {name: six, namespace: shop}
spec:
  clusterIP: "fd00:96::6"
  clusterIPs: ["fd00:96::6"]
  ipFamilies: [IPv6]
  selector: {app: six}
  ports: [{name: tcp, port: 7000, protocol: TCP, targetPort: 7070}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: six-x
  namespace: shop
  labels: {kubernetes.io/service-name: six}
addressType: IPv6
ports: [{name: tcp, port: 7070, protocol: TCP}]
endpoints:
- addresses: ["fd00:10::61"]
  nodeName: node-b
  conditions: {ready: true}
  targetRef: {kind: Pod, name: six-7c9f8d6b5-aaaaa, namespace: shop, uid: 22222222-0000-0000-0000-000000000001}
`;

const reason = istiodMissing();

describe.skipIf(reason !== undefined)(`istiod${reason ? ` (skipped: ${reason})` : ''}`, () => {
  let istiod: Istiod;
  let ads: Source;
  let workloads: Source;
  const logger = new FakeLogger();

  beforeAll(async () => {
    istiod = await startIstiod();
    const directory = new Directory(systemClock);
    const settings = sourceSettings({ clock: systemClock, directory, logger });
    const config = configFor(istiod.port);
    ads = createAdsSource(settings, config, DUAL);
    workloads = createIstiodSource(settings, { ...config, on_demand: false }, DUAL);
    for (const source of [ads, workloads]) {
      await source.start();
      await until(() => source.shelf.synced);
    }
  });

  afterAll(async () => {
    await ads?.shutdown();
    await workloads?.shutdown();
    await istiod?.stop();
  });

  const at = (shelf: Shelf, address: string) => shelf.byAddress(addressOf(address), undefined);
  const dialled = (shelf: Shelf, address: string, port: number) => {
    const holder = at(shelf, address);
    const exact = shelf.services.byAddress('', addressOf(address), undefined, port);
    return exact ? exact.service : holder?.backed.byTargetPort(port);
  };

  /** All that a sidecar is told about an address is what the workload API tells; returns it. */
  function sameWorkload(address: string) {
    const { podName, node, podUid, principal, goneSinceMs, ...told } = at(ads.shelf, address)!.workload;
    expect({ podName, node, podUid }).toEqual({ podName: undefined, node: undefined, podUid: undefined });
    expect(at(ads.shelf, address)!.object.hbone).toBe(at(workloads.shelf, address)!.object.hbone);
    const workload = at(workloads.shelf, address)!.workload;
    expect(workload).toMatchObject(told);
    if (principal !== undefined) expect(workload.principal).toBe(principal);
    return { ...told, principal };
  }

  function sameService(address: string, port: number, expected: object = {}) {
    const service = dialled(ads.shelf, address, port);
    const known = dialled(workloads.shelf, address, port);
    expect(service).toEqual(known && { ...known, ...expected });
    return service?.hostname;
  }

  it('is told apart for doctor', async () => {
    const report = await describeAds(configFor(istiod.port), MACHINE);
    expect(report.text).toMatch(/^127\.0\.0\.1:\d+: \d+ clusters, 4 services$/);
    expect(report.ok).toBe(true);
  });

  it('names the pods that back a service as in workload mode', () => {
    expect(sameWorkload('10.0.1.11')).toMatchObject({
      name: 'web',
      namespace: 'shop',
      canonicalService: 'web',
      canonicalRevision: 'v1',
      principal: 'spiffe://cluster.local/ns/shop/sa/web',
      cluster: 'Kubernetes',
      region: 'eu-1',
      zone: 'eu-1a',
    });
    expect(sameWorkload('10.0.2.11').zone).toBe('eu-1b');
    expect(at(ads.shelf, '10.0.1.11')?.object.hbone).toBe(true);
    expect(sameWorkload('198.51.100.9').name).toBe('vm-1');
    // istiod itself numbers the endpoints of a ServiceEntry for sidecars, and for nobody else.
    expect(at(ads.shelf, '203.0.113.7')?.workload.name).toBe('ext-bank-0');
  });

  it('names nobody that it is not told of: pods without a service, behind a headless one, or in the host network', () => {
    for (const address of ['10.0.2.12', '10.0.1.13', '192.168.0.5']) expect(at(ads.shelf, address)).toBeUndefined();
  });

  it('tells services as in workload mode: by virtual address, and by the named port of each pod', () => {
    expect(sameService('172.20.0.10', 80)).toBe('web.shop.svc.cluster.local');
    // A sidecar is not told how a ServiceEntry is called, only its host.
    expect(sameService('240.240.0.7', 443, { name: 'api.bank.example' })).toBe('api.bank.example');
    expect(sameService('10.0.1.11', 8081)).toBe('web.shop.svc.cluster.local');
    expect(sameService('10.0.2.11', 9091)).toBe('web.shop.svc.cluster.local');
    expect(sameService('10.0.2.11', 8081)).toBeUndefined();
    expect(sameService('198.51.100.9', 9900, { name: 'ledger.vm.example' })).toBe('ledger.vm.example');
    expect(sameService('203.0.113.7', 443, { name: 'api.bank.example' })).toBe('api.bank.example');
    // Headless: by what listens for its pod.
    expect(sameService('10.0.2.12', 5432)).toBe('db.payments.svc.cluster.local');
    expect(sameService('10.0.2.12', 22)).toBeUndefined();
  });

  it('follows what comes and goes, in IPv6 too', async () => {
    await istiod.apply(SIX);
    await until(() =>
      [ads, workloads].every(({ shelf }) => at(shelf, 'fd00:10::61') && dialled(shelf, 'fd00:96::6', 7000)),
    );
    expect(sameWorkload('fd00:10::61')).toMatchObject({ name: 'six', namespace: 'shop', zone: 'eu-1b' });
    expect(sameService('fd00:96::6', 7000)).toBe('six.shop.svc.cluster.local');
    expect(sameService('fd00:10::61', 7070)).toBe('six.shop.svc.cluster.local');
    await istiod.remove(SIX);
    await until(() => at(ads.shelf, 'fd00:10::61') === undefined && !dialled(ads.shelf, 'fd00:96::6', 7000));
    expect(at(ads.shelf, '10.0.1.11')?.workload.name).toBe('web');
  });

  it('is known while it is away, and comes back', async () => {
    const connections = () => logger.lines.filter((line) => line.includes('connected again')).length;
    await istiod.dropConnections();
    await until(() => connections() === 2);
    expect(sameWorkload('10.0.1.11').name).toBe('web');
    await istiod.apply(SIX);
    await until(() => at(ads.shelf, 'fd00:10::61') !== undefined);
  });

  it('never sent what had to be refused', () => {
    expect(logger.lines.filter((line) => line.includes('cannot be read'))).toEqual([]);
  });
});
