import { describe, expect, it } from 'vitest';
import {
  trimEndpointSlice,
  trimNode,
  trimPod,
  trimService,
} from '../../../../src/identity/sources/kubernetes/trimmed.ts';
import { node, pod, service, slice } from './support/objects.ts';

const HASH = '0123456789abcdef0123456789abcdef';

describe('a pod', () => {
  it('has all its addresses, each once, in one spelling', () => {
    const raw = pod('a', { ips: ['10.0.0.1', 'FD00:0::2', '::ffff:10.0.0.1'] });
    expect(trimPod(raw)!.addresses).toEqual(['10.0.0.1', 'fd00::2']);
    expect(trimPod({ ...raw, status: { podIP: '10.0.0.3' } })!.addresses).toEqual(['10.0.0.3']);
    expect(trimPod({ ...raw, status: { podIP: '', podIPs: [{ ip: 'x' }, {}, 5] } })!.addresses).toEqual([]);
  });

  it.each([
    ['Pending', false],
    ['Running', false],
    ['Unknown', false],
    ['Succeeded', true],
    ['Failed', true],
  ])('%s is finished: %s', (phase, finished) => {
    expect(trimPod(pod('a', { phase }))!.finished).toBe(finished);
  });

  it('has the default service account unless it says otherwise', () => {
    expect(trimPod(pod('a'))!.serviceAccount).toBe('default');
    expect(trimPod(pod('a', { serviceAccount: 'own' }))!.serviceAccount).toBe('own');
  });

  it('of a file on the node has the hashes that kubelet names its control group by', () => {
    const hashes = (annotations: Record<string, string>) => trimPod(pod('a', { annotations }))!.hashes;
    expect(hashes({ 'kubernetes.io/config.hash': HASH, 'kubernetes.io/config.mirror': HASH })).toEqual([HASH]);
    expect(
      hashes({
        'kubernetes.io/config.hash': HASH.toUpperCase(),
        'kubernetes.io/config.mirror': HASH.replace('0', 'f'),
      }),
    ).toEqual([HASH, HASH.replace('0', 'f')]);
    // Nobody takes another pod's uid by an annotation.
    expect(hashes({ 'kubernetes.io/config.hash': '8f3f6e0c-1d7b-4c7e-9a53-2f8f3b6f5f10' })).toEqual([]);
  });

  it.each([
    ['nothing', {}, {}, undefined],
    ['the annotation', {}, { 'ambient.istio.io/redirection': 'enabled' }, true],
    [
      'the annotation off',
      { 'istio.io/dataplane-mode': 'ambient' },
      { 'ambient.istio.io/redirection': 'disabled' },
      false,
    ],
    ['the tunnel label', { 'networking.istio.io/tunnel': 'http' }, {}, true],
    ['another tunnel', { 'networking.istio.io/tunnel': 'none' }, {}, undefined],
    ['its mode', { 'istio.io/dataplane-mode': 'ambient' }, {}, true],
    ['its mode none', { 'istio.io/dataplane-mode': 'none' }, {}, false],
  ])(
    'with %s speaks HBONE by its own word',
    (_case, labels: Record<string, string>, annotations: Record<string, string>, hbone) => {
      expect(trimPod(pod('a', { labels, annotations }))!.hbone).toBe(hbone);
    },
  );
});

describe('a service', () => {
  it('has virtual addresses of each kind, and no others', () => {
    const raw = service('a', {
      clusterIps: ['10.96.0.1', 'FD00::1'],
      externalIps: ['192.0.2.1'],
      ingress: [{ ip: '192.0.2.2' }, { hostname: 'lb.example' }, { ip: '192.0.2.1' }],
    });
    expect(trimService(raw)).toMatchObject({
      clusterIps: ['10.96.0.1', 'fd00::1'],
      outerIps: ['192.0.2.1', '192.0.2.2'],
    });
    expect(trimService(service('a', { clusterIps: ['None'] }))!.clusterIps).toEqual([]);
  });

  it.each([
    ['a number', { port: 80, targetPort: 8080 }, [80, 8080]],
    ['a name', { port: 80, targetPort: 'http' }, [80, 0]],
    ['nothing', { port: 80 }, [80, 80]],
    ['zero', { port: 80, targetPort: 0 }, [80, 80]],
    ['a number in quotes, which is a name', { port: 80, targetPort: '8080' }, [80, 0]],
  ])('with %s for a target port', (_case, port, [number, target]) => {
    expect(trimService(service('a', { ports: [port] }))!.ports).toEqual([{ name: '', port: number, target }]);
  });

  it('has TCP ports only', () => {
    const ports = [
      { name: 'dns', port: 53, protocol: 'UDP' },
      { name: 'dns-tcp', port: 53, protocol: 'TCP', targetPort: 5353 },
      { name: 'bad', port: 70_000 },
      'text',
    ] as object[];
    expect(trimService(service('a', { ports }))!.ports).toEqual([{ name: 'dns-tcp', port: 53, target: 5353 }]);
  });

  it.each([[undefined], [{}]])('without a selector (%j) has the ports of its endpoints', (selector) => {
    expect(trimService(service('a', { selector }))!.ports).toEqual([{ name: '', port: 80, target: 0 }]);
  });
});

describe('an endpoint slice', () => {
  it('has TCP ports by name, pods by uid, others by address', () => {
    const raw = slice('a', [pod('p', { ip: '10.0.0.1' }), '192.0.2.1', pod('p', { ip: '10.0.0.1' })], {
      ports: [
        { name: 'http', port: 8080 },
        { name: null, port: 9090, protocol: 'TCP' },
        { name: 'u', port: 53, protocol: 'UDP' },
        { name: 'all' },
      ],
    });
    expect(trimEndpointSlice(raw)).toEqual({
      uid: 'uid-slice-a',
      name: 'a-uid-slice-a',
      namespace: 'default',
      service: 'a',
      ports: new Map([
        ['http', 8080],
        ['', 9090],
      ]),
      endpoints: ['uid-p', '192.0.2.1'],
    });
  });
});

it('a node has its region, its zone and addresses; host names are none', () => {
  const labels = { 'topology.kubernetes.io/region': 'eu', 'topology.kubernetes.io/zone': '' };
  expect(trimNode(node('n', labels, ['192.0.2.1', 'host.example']))).toEqual({
    uid: 'uid-node-n',
    name: 'n',
    namespace: '',
    region: 'eu',
    zone: undefined,
    addresses: ['192.0.2.1'],
  });
});
