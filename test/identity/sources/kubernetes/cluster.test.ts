import { beforeEach, describe, expect, it } from 'vitest';
import type { Shelf } from '../../../../src/identity/directory.ts';
import type { Cluster } from '../../../../src/identity/sources/kubernetes/cluster.ts';
import {
  trimEndpointSlice,
  trimNamespace,
  trimNode,
  trimPod,
  trimService,
} from '../../../../src/identity/sources/kubernetes/trimmed.ts';
import { addressOf } from '../../../../src/semconv/address.ts';
import { FakeClock } from '../../fakes.ts';
import { emptyCluster } from './support/cluster.ts';
import { namespace, node, type PodOptions, pod, type ServiceOptions, service, slice } from './support/objects.ts';

let clock: FakeClock;
let shelf: Shelf;
let cluster: Cluster;
beforeEach(() => create(''));

function create(nodeName: string): void {
  clock = new FakeClock();
  ({ shelf, cluster } = emptyCluster(clock, nodeName));
}

async function put(objects: {
  pods?: object[];
  services?: object[];
  slices?: object[];
  nodes?: object[];
  namespaces?: object[];
}) {
  for (const raw of objects.pods ?? []) cluster.pods.put(trimPod(raw as never)!);
  for (const raw of objects.services ?? []) cluster.services.put(trimService(raw as never)!);
  for (const raw of objects.slices ?? []) cluster.endpointSlices.put(trimEndpointSlice(raw as never)!);
  for (const raw of objects.nodes ?? []) cluster.nodes.put(trimNode(raw as never)!);
  for (const raw of objects.namespaces ?? []) cluster.namespaces.put(trimNamespace(raw as never)!);
  await cluster.pushed();
}

const at = (address: string) => shelf.byAddress(addressOf(address), undefined);
const vip = (address: string) => shelf.services.byAddress('', addressOf(address), undefined)?.service.name;
const serving = (address: string, port: number) => at(address)!.backed.byTargetPort(port)?.hostname;

describe('pods', () => {
  it('hold their addresses while they run', async () => {
    await put({ pods: [pod('a')] });
    expect(shelf.workloadCount).toBe(1);
    await put({ pods: [pod('a', { ips: ['10.0.0.1', 'fd00::1'] })] });
    expect([at('10.0.0.1')?.workload.podName, at('fd00::1')?.workload.podName]).toEqual(['a', 'a']);
    await put({ pods: [pod('a', { ip: '10.0.0.1', phase: 'Succeeded' })] });
    expect(at('10.0.0.1')).toBeUndefined();
    expect(shelf.workloadCount).toBe(0);
    await put({ pods: [pod('b', { ip: '10.0.0.1' })] });
    expect(at('10.0.0.1')?.workload.podName).toBe('b');
    // What is over stays over, whatever else changes.
    await put({ nodes: [node('node-1', { 'topology.kubernetes.io/zone': 'z' })] });
    expect(at('10.0.0.1')?.workload).toMatchObject({ podName: 'b', zone: 'z' });
    expect(shelf.workloadCount).toBe(1);
  });

  it('that were finished before they were seen are nobody', async () => {
    await put({ pods: [pod('a', { ip: '10.0.0.1', phase: 'Failed' })] });
    expect(shelf.workloadCount).toBe(0);
    cluster.pods.remove('uid-a');
    expect(cluster.pods.size).toBe(0);
  });

  it("never hold the node's address", async () => {
    await put({ pods: [pod('agent', { ip: '192.0.2.1', hostNetwork: true })] });
    expect(at('192.0.2.1')).toBeUndefined();
    expect(shelf.workloadCount).toBe(1);
  });

  it('keep their address for connections opened before they went', async () => {
    shelf.markSynced();
    await put({ pods: [pod('a', { ip: '10.0.0.1' })] });
    clock.advance(1_000);
    const before = clock.now();
    clock.advance(1_000);
    cluster.pods.remove('uid-a');
    await put({ pods: [pod('b', { ip: '10.0.0.1' })] });
    expect(shelf.byAddress(addressOf('10.0.0.1'), before)?.workload.podName).toBe('a');
    expect(at('10.0.0.1')?.workload.podName).toBe('b');
  });

  it('are known by every uid of their control groups, on their own node only', async () => {
    const hash = '0123456789abcdef0123456789abcdef';
    const annotations = { 'kubernetes.io/config.hash': hash };
    const uids = (address: string) => at(address)?.object.podUids;
    const pods = [
      pod('a', { uid: 'ABC', ip: '10.0.0.1', node: 'here', annotations }),
      pod('b', { uid: 'def', ip: '10.0.0.2', node: 'there' }),
    ];
    create('here');
    await put({ pods });
    expect([uids('10.0.0.1'), uids('10.0.0.2')]).toEqual([['abc', hash], undefined]);
    create('');
    await put({ pods });
    expect([uids('10.0.0.1'), uids('10.0.0.2')]).toEqual([['abc', hash], ['def']]);
  });

  it('have the region and zone of their node, whichever comes first', async () => {
    const labels = { 'topology.kubernetes.io/region': 'eu', 'topology.kubernetes.io/zone': 'eu-1' };
    await put({ pods: [pod('a', { ip: '10.0.0.1' })] });
    await put({ nodes: [node('node-1', labels)] });
    await put({ pods: [pod('b', { ip: '10.0.0.2' })] });
    for (const address of ['10.0.0.1', '10.0.0.2'])
      expect(at(address)?.workload).toMatchObject({ region: 'eu', zone: 'eu-1' });
    // A node that comes back under another uid before the old one is taken away.
    cluster.nodes.put({ ...trimNode(node('node-1', labels))!, uid: 'second' });
    cluster.nodes.remove('uid-node-node-1');
    await cluster.pushed();
    expect(at('10.0.0.1')?.workload.region).toBe('eu');
    cluster.nodes.remove('second');
    await cluster.pushed();
    expect(at('10.0.0.1')?.workload.region).toBeUndefined();
  });

  it('are in the mesh as their namespace is, unless they say otherwise', async () => {
    const annotations = { 'ambient.istio.io/redirection': 'disabled' };
    await put({ pods: [pod('a', { ip: '10.0.0.1' }), pod('b', { ip: '10.0.0.2', annotations })] });
    const hbone = () => [at('10.0.0.1')?.object.hbone, at('10.0.0.2')?.object.hbone];
    expect(hbone()).toEqual([false, false]);
    await put({ namespaces: [namespace('default', { 'istio.io/dataplane-mode': 'ambient' })] });
    expect(hbone()).toEqual([true, false]);
    cluster.namespaces.remove('uid-namespace-default');
    await cluster.pushed();
    expect(hbone()).toEqual([false, false]);
  });
});

describe('services', () => {
  const web = (options: ServiceOptions = {}) => service('web', { clusterIps: ['10.96.0.1'], ...options });
  const pods = (options: PodOptions = {}) => [
    pod('w1', { ip: '10.0.0.1', ...options }),
    pod('w2', { ip: '10.0.0.2', ...options }),
  ];

  it('are found by their addresses and by the ports of the pods behind them, in whatever order things come', async () => {
    const [first, second] = pods();
    const steps = [{ services: [web()] }, { slices: [slice('web', [first, second])] }, { pods: [first, second] }];
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
      [1, 0, 2],
    ]) {
      create('');
      for (const step of order) await put(steps[step]!);
      expect(vip('10.96.0.1')).toBe('web');
      expect(serving('10.0.0.1', 8080)).toBe('web.default.svc.cluster.local');
      expect(serving('10.0.0.2', 8080)).toBe('web.default.svc.cluster.local');
      expect(serving('10.0.0.2', 80)).toBeUndefined();
    }
  });

  it('have named target ports as each of their pods has them', async () => {
    const [first, second] = pods();
    const ports = [{ name: 'http', port: 80, targetPort: 'web' }];
    await put({
      pods: [first, second],
      services: [web({ ports })],
      slices: [
        slice('web', [first], { uid: 's1', ports: [{ name: 'http', port: 8081 }] }),
        slice('web', [second], { uid: 's2', ports: [{ name: 'http', port: 8082 }] }),
      ],
    });
    expect([serving('10.0.0.1', 8081), serving('10.0.0.1', 8082)]).toEqual([
      'web.default.svc.cluster.local',
      undefined,
    ]);
    expect([serving('10.0.0.2', 8081), serving('10.0.0.2', 8082)]).toEqual([
      undefined,
      'web.default.svc.cluster.local',
    ]);
    await put({ slices: [slice('web', [first], { uid: 's1', ports: [{ name: 'http', port: 9000 }] })] });
    expect([serving('10.0.0.1', 8081), serving('10.0.0.1', 9000)]).toEqual([
      undefined,
      'web.default.svc.cluster.local',
    ]);
  });

  it('without a selector have what their endpoints have, pods by address too', async () => {
    await put({
      pods: [pod('db', { ip: '10.0.0.9' })],
      services: [web({ selector: undefined, ports: [{ port: 5432, targetPort: 1 }] })],
      slices: [slice('web', ['10.0.0.9', '198.51.100.1'], { ports: [{ name: '', port: 6432 }] })],
    });
    expect(serving('10.0.0.9', 6432)).toBe('web.default.svc.cluster.local');
    await put({ pods: [pod('late', { ip: '198.51.100.1' })] });
    expect(serving('198.51.100.1', 6432)).toBe('web.default.svc.cluster.local');
  });

  it('of a dual-stack pod have the slices of both families', async () => {
    const both = pod('w1', { ips: ['10.0.0.1', 'fd00::1'] });
    const ports = [
      { name: 'a', port: 80, targetPort: 'a' },
      { name: 'b', port: 81, targetPort: 'b' },
    ];
    await put({
      pods: [both],
      services: [web({ ports })],
      slices: [
        slice('web', [both], { uid: 'v4', ports: [{ name: 'a', port: 8080 }] }),
        slice('web', [both], { uid: 'v6', ports: [{ name: 'b', port: 8081 }] }),
      ],
    });
    expect([serving('10.0.0.1', 8080), serving('fd00::1', 8081)]).toEqual([
      'web.default.svc.cluster.local',
      'web.default.svc.cluster.local',
    ]);
  });

  it("with pods in the host's network name them by their ports, not by the node's address", async () => {
    const agent = pod('agent', { ip: '192.0.2.1', hostNetwork: true });
    await put({ pods: [agent], services: [web()], slices: [slice('web', [agent])] });
    const holders = [...shelf.services.endpoints('default/web.default.svc.cluster.local')];
    expect(holders.map(({ workload }) => workload.podName)).toEqual(['agent']);
    // An endpoint that is only an address means nobody where the address is a node's.
    await put({ slices: [slice('web', ['192.0.2.1'])] });
    expect([...shelf.services.endpoints('default/web.default.svc.cluster.local')]).toEqual([]);
  });

  it('of another namespace with the same name are others', async () => {
    const other = pod('o', { ip: '10.0.0.5', namespace: 'other' });
    await put({
      pods: [...pods(), other],
      services: [web(), service('web', { namespace: 'other', uid: 'other', clusterIps: ['10.96.0.2'] })],
      slices: [slice('web', pods()), slice('web', [other], { namespace: 'other', uid: 'so' })],
    });
    expect(serving('10.0.0.1', 8080)).toBe('web.default.svc.cluster.local');
    expect(serving('10.0.0.5', 8080)).toBe('web.other.svc.cluster.local');
  });

  it('go with all they had; one that came again under the same name stays', async () => {
    await put({ pods: pods(), services: [web()], slices: [slice('web', pods())] });
    cluster.services.put(trimService(web({ uid: 'second', clusterIps: ['10.96.0.2'] }) as never)!);
    cluster.services.remove('uid-service-web');
    await cluster.pushed();
    expect([vip('10.96.0.1'), vip('10.96.0.2')]).toEqual([undefined, 'web']);
    expect(serving('10.0.0.1', 8080)).toBe('web.default.svc.cluster.local');
    cluster.services.remove('second');
    await cluster.pushed();
    expect(vip('10.96.0.2')).toBeUndefined();
    expect(serving('10.0.0.1', 8080)).toBeUndefined();
  });

  it('lose the pods that leave a slice, and only those', async () => {
    const [first, second] = pods();
    await put({ pods: [first, second], services: [web()], slices: [slice('web', [first, second])] });
    await put({ slices: [slice('web', [second])] });
    expect([serving('10.0.0.1', 8080), serving('10.0.0.2', 8080)]).toEqual([
      undefined,
      'web.default.svc.cluster.local',
    ]);
    cluster.endpointSlices.remove('uid-slice-web');
    await cluster.pushed();
    expect(serving('10.0.0.2', 8080)).toBeUndefined();
  });

  it("do not take a node's address, where a load balancer is the nodes themselves", async () => {
    const balanced = web({ ingress: [{ ip: '192.0.2.1' }, { ip: '192.0.2.9' }], externalIps: ['192.0.2.2'] });
    await put({ services: [balanced] });
    expect([vip('192.0.2.1'), vip('192.0.2.2'), vip('192.0.2.9')]).toEqual(['web', 'web', 'web']);
    await put({ nodes: [node('node-1', {}, ['192.0.2.1']), node('node-2', {}, ['192.0.2.2'])] });
    expect([vip('192.0.2.1'), vip('192.0.2.2'), vip('192.0.2.9')]).toEqual([undefined, undefined, 'web']);
    cluster.nodes.remove('uid-node-node-1');
    expect([vip('192.0.2.1'), vip('192.0.2.2'), vip('192.0.2.9')]).toEqual(['web', undefined, 'web']);
  });
});
