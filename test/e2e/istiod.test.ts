/** The source istiod against istiod's own discovery server. What it leaves out (TLS, tokens, other networks) is scripted elsewhere. */

import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { IstiodConfig } from '../../src/identity/sources/istiod/source.ts';
import { describeIstiod } from '../../src/identity/sources/istiod/source.ts';
import { addressOf } from '../../src/semconv/address.ts';
import { createRig, eventually, istiodConfig, MACHINE, type Rig } from '../identity/sources/istiod/support/rig.ts';
import { type Istiod, istiodMissing, startIstiod } from '../peers/istiod.ts';

const reason = istiodMissing();

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function istiod(...options: Parameters<typeof startIstiod>): Promise<Istiod> {
  const server = await startIstiod(...options);
  cleanups.push(server.stop);
  return server;
}

async function connect(server: Istiod, more: Partial<IstiodConfig> = {}): Promise<Rig> {
  const rig = createRig(istiodConfig(server.port, more));
  cleanups.push(() => rig.source.shutdown());
  await rig.source.start();
  await eventually(() => rig.source.missing()).toBeUndefined();
  return rig;
}

const POD = (name: string, address: string) => `
apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  namespace: shop
  uid: ${name}
  labels: {app: ${name}}
spec: {nodeName: node-b, serviceAccountName: ${name}}
status:
  phase: Running
  podIP: ${address}
  podIPs: [{ip: ${address}}]
  conditions: [{type: Ready, status: "True"}]
`;

const SERVICE = (name: string, address: string) => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: shop}
spec:
  clusterIP: ${address}
  clusterIPs: [${address}]
  selector: {app: ${name}}
  ports: [{name: tcp, port: 7000, protocol: TCP, targetPort: 7001}]
`;

describe.skipIf(reason !== undefined)(`istiod itself${reason ? ` (skipped: ${reason})` : ''}`, () => {
  beforeAll(async () => (await startIstiod({ objects: '' })).stop());

  it('tells of every workload as Istio names it', async () => {
    const rig = await connect(await istiod());
    const { shelf } = rig.source;
    const held = (address: string) => shelf.byAddress(addressOf(address), undefined);
    expect(held('10.0.1.11')!.workload).toEqual({
      name: 'web',
      namespace: 'shop',
      podName: 'web-5d4f8c7b9-aaaaa',
      podUid: undefined,
      containerId: undefined,
      canonicalService: 'web',
      canonicalRevision: 'v1',
      principal: 'spiffe://cluster.local/ns/shop/sa/web',
      cluster: 'Kubernetes',
      region: 'eu-1',
      zone: 'eu-1a',
      node: 'node-a',
      goneSinceMs: undefined,
    });
    expect(held('10.0.1.11')!.object).toMatchObject({
      uid: 'Kubernetes//Pod/shop/web-5d4f8c7b9-aaaaa',
      pod: true,
      hbone: true,
    });
    // Its second address, a pod outside of the mesh, one that is not ready.
    expect(rig.at('fd00:10::11')).toBe('web');
    expect(held('10.0.2.12')!.object).toMatchObject({ hbone: false });
    expect(held('10.0.2.12')!.workload).toMatchObject({ canonicalService: 'ledger-db', canonicalRevision: 'blue' });
    expect(rig.at('10.0.1.13')).toBe('web');
    // Two pods of the host's network have its address: nobody has.
    expect(rig.at('192.168.0.5')).toBeUndefined();
    expect(shelf.workload('Kubernetes//Pod/payments/kube-proxy-zz9qk')!.object.hostNetwork).toBe(true);
    // A machine outside of the cluster, and what is outside of the mesh.
    expect(held('198.51.100.9')!.workload).toMatchObject({
      principal: 'spiffe://cluster.local/ns/payments/sa/vm',
      zone: 'eu-1a',
    });
    expect(held('198.51.100.9')!.object.pod).toBe(false);
  });

  it('tells of services: by virtual address, by named port, of a headless one', async () => {
    const rig = await connect(await istiod());
    const { shelf } = rig.source;
    expect(rig.serviceAt('172.20.0.10')).toBe('web.shop.svc.cluster.local');
    expect(rig.serviceAt('240.240.0.7')).toBe('api.bank.example');
    const behind = (address: string, port: number) =>
      shelf.byAddress(addressOf(address), undefined)!.backed.byTargetPort(port)?.hostname;
    expect([behind('10.0.1.11', 8081), behind('10.0.1.11', 9091)]).toEqual(['web.shop.svc.cluster.local', undefined]);
    expect([behind('10.0.2.11', 8081), behind('10.0.2.11', 9091)]).toEqual([undefined, 'web.shop.svc.cluster.local']);
    expect(behind('10.0.2.12', 5432)).toBe('db.payments.svc.cluster.local');
    expect(behind('198.51.100.9', 9900)).toBe('ledger.vm.example');
  });

  it('tells of changes: a pod comes, its address goes to another, a service comes and goes', async () => {
    const server = await istiod();
    const rig = await connect(server);
    await server.apply(POD('cart', '10.0.3.1'));
    await eventually(() => rig.at('10.0.3.1')).toBe('cart');
    await server.remove(POD('cart', '10.0.3.1'));
    await server.apply(POD('till', '10.0.3.1'));
    await eventually(() => rig.at('10.0.3.1')).toBe('till');
    await server.apply(SERVICE('till', '172.20.0.77'));
    await eventually(() => rig.serviceAt('172.20.0.77')).toBe('till.shop.svc.cluster.local');
    await server.remove(SERVICE('till', '172.20.0.77'));
    await eventually(() => rig.serviceAt('172.20.0.77')).toBeUndefined();
    await server.remove(POD('till', '10.0.3.1'));
    await eventually(() => rig.at('10.0.3.1')).toBeUndefined();
  });

  it('is missed without a loss: what changed meanwhile is right afterwards', async () => {
    const server = await istiod();
    const rig = await connect(server);
    await server.apply(POD('cart', '10.0.3.1'));
    await eventually(() => rig.at('10.0.3.1')).toBe('cart');
    await server.refuse(true);
    await server.dropConnections();
    await eventually(() => rig.telemetry.observed('tcpledger_identity_connected').istiod).toBe(0);
    await server.remove(POD('cart', '10.0.3.1'));
    await server.apply(POD('till', '10.0.3.2'));
    // It holds on to what it knows.
    expect([rig.at('10.0.3.1'), rig.at('10.0.1.11')]).toEqual(['cart', 'web']);
    const web = rig.source.shelf.byAddress(addressOf('10.0.1.11'), undefined);
    await server.refuse(false);
    await eventually(() => rig.at('10.0.3.2')).toBe('till');
    await eventually(() => rig.at('10.0.3.1')).toBeUndefined();
    expect(rig.source.shelf.byAddress(addressOf('10.0.1.11'), undefined)).toBe(web);
    expect(rig.counter('tcpledger_identity_nacks')).toBe(0);
  });

  it('tells 10,000 workloads, and takes all of them back', async () => {
    const server = await istiod({ objects: '', generate: 10_000 });
    const rig = await connect(server);
    const { workloads, services } = await server.stats();
    expect([rig.source.shelf.workloadCount, rig.source.shelf.services.size]).toEqual([workloads, services]);
    expect(workloads).toBe(10_000);
    for (let drops = 0; drops < 3; drops++) {
      await server.dropConnections();
      await eventually(() => rig.counter('tcpledger_identity_reconnects')).toBeGreaterThan(drops);
      await eventually(() => rig.telemetry.observed('tcpledger_identity_connected').istiod).toBe(1);
    }
    expect(rig.source.shelf.workloadCount).toBe(10_000);
    await server.generate(1_000, 'more');
    await eventually(() => rig.source.shelf.workloadCount).toBe(11_000);
    expect(rig.counter('tcpledger_identity_nacks')).toBe(0);
  });

  it('answers on demand: an address, a virtual address with who is behind it, one that nobody has', async () => {
    const server = await istiod();
    const rig = await connect(server, { on_demand: true });
    expect(rig.at('10.0.2.12')).toBeUndefined();
    rig.source.wants!(addressOf('10.0.2.12'));
    rig.source.wants!(addressOf('203.0.113.99'));
    await eventually(() => rig.at('10.0.2.12')).toBe('db');
    // Its service too, so that the server's end tells the same as the client's.
    await eventually(() => rig.source.shelf.services.size).toBe(1);
    rig.source.wants!(addressOf('172.20.0.10'));
    await eventually(() => rig.serviceAt('172.20.0.10')).toBe('web.shop.svc.cluster.local');
    expect([rig.at('10.0.1.11'), rig.at('10.0.2.11')]).toEqual(['web', 'web']);
    await server.dropConnections();
    await eventually(() => rig.counter('tcpledger_identity_reconnects')).toBeGreaterThan(0);
    await server.apply(POD('db-1', '10.0.4.4'));
    await eventually(() => {
      rig.source.wants!(addressOf('10.0.4.4'));
      return rig.at('10.0.4.4');
    }).toBe('db-1');
    expect(rig.at('10.0.2.12')).toBe('db');
  });

  it('passes doctor', async () => {
    const server = await istiod({ objects: '' });
    expect(await describeIstiod(istiodConfig(server.port), MACHINE)).toEqual({
      ok: true,
      text: `127.0.0.1:${server.port} serves the workload API to this node`,
    });
  });
});
