import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readAssignment } from '../../../../src/identity/sources/ads/assignment.ts';
import { readCluster } from '../../../../src/identity/sources/ads/cluster.ts';
import { decodeResources } from '../../../../src/identity/sources/ads/decode.ts';
import { readListener } from '../../../../src/identity/sources/ads/listener.ts';
import { readRoutes } from '../../../../src/identity/sources/ads/route.ts';
import { CLUSTERS } from '../../../../src/identity/sources/ads/session.ts';
import { ProtobufReader } from '../../../../src/identity/sources/xds/protobuf-reader.ts';
import { UNNAMED_FIELDS } from '../../../../src/identity/workload-pool.ts';
import {
  assignment,
  chain,
  cluster,
  encode,
  endpoint,
  http,
  listener,
  TYPE_URLS,
  tcpProxy,
  tlsSocket,
  virtualHost,
} from './support/envoy.ts';

type Fields = Readonly<Record<string, unknown>>;
const breathe = () => undefined;
const toCluster = (fields: Fields) => readCluster(new ProtobufReader(encode('Cluster', fields)), breathe);
const toAssignment = (fields: Fields) =>
  readAssignment(new ProtobufReader(encode('ClusterLoadAssignment', fields)), breathe);
const toListener = (fields: Fields) => readListener(new ProtobufReader(encode('Listener', fields)), breathe);
const toRoutes = (fields: Fields) => readRoutes(new ProtobufReader(encode('RouteConfiguration', fields)), breathe);

const WEB = 'outbound|80||web.shop.svc.cluster.local';

describe('a cluster', () => {
  it('is for the service and the port that its metadata and its name say', async () => {
    expect(await toCluster(cluster(WEB, { serviceName: 'eds' }))).toEqual({
      name: WEB,
      service: {
        key: 'shop/web.shop.svc.cluster.local',
        service: { hostname: 'web.shop.svc.cluster.local', name: 'web', namespace: 'shop' },
        port: 80,
      },
      originalDestination: false,
      edsName: 'eds',
      endpoints: [],
      principal: undefined,
    });
  });

  it.each([
    ['outbound|8080|v1|web.shop.svc.cluster.local', ['web.shop.svc.cluster.local', 'web', 'shop', 8080]],
    ['outbound|443||api.bank.example', ['api.bank.example', 'api', undefined, 443]],
    ['inbound|80||', undefined],
    ['PassthroughCluster', undefined],
    ['outbound_.80_._.web.shop.svc.cluster.local', undefined],
  ])('without metadata is known by its name: %s', async (name, expected) => {
    const { service } = await toCluster(cluster(name, { service: null }));
    expect(
      service && [service.service.hostname, service.service.name, service.service.namespace, service.port],
    ).toEqual(expected);
  });

  it('says where its endpoints are: in EDS, in itself, or where the client dials', async () => {
    expect(await toCluster(cluster(WEB, { serviceName: '' }))).toMatchObject({ edsName: WEB });
    const load_assignment = assignment(WEB, [endpoint('10.0.0.1', 80)]);
    const inline = await toCluster({ ...cluster(WEB, { type: 0 }), load_assignment });
    expect(inline).toMatchObject({ edsName: undefined, endpoints: [{ address: '10.0.0.1', port: 80 }] });
    expect(await toCluster(cluster(WEB, { type: 4 }))).toMatchObject({ edsName: undefined, originalDestination: true });
  });

  const ONE = 'spiffe://cluster.local/ns/shop/sa/web';
  it.each<[string, Fields, string | undefined]>([
    ['one', cluster(WEB, { sans: [ONE] }), ONE],
    ['one, said twice', cluster(WEB, { sans: [ONE, ONE] }), ONE],
    ['none', cluster(WEB, { sans: [] }), undefined],
    ['two', cluster(WEB, { sans: [ONE, 'spiffe://td2/ns/shop/sa/web'] }), undefined],
    ['a host name', cluster(WEB, { sans: ['web.example.com'] }), undefined],
    ['in its one socket', { ...cluster(WEB), transport_socket: tlsSocket([ONE]) }, ONE],
    [
      'another in another socket',
      { ...cluster(WEB, { sans: [ONE] }), transport_socket: tlsSocket(['spiffe://a/ns/b/sa/c']) },
      undefined,
    ],
  ])('has a principal if it accepts exactly one SPIFFE name: %s', async (_, fields, expected) => {
    expect((await toCluster(fields)).principal).toBe(expected);
  });
});

describe('an assignment', () => {
  const first = async (workload: string | undefined, locality?: string) =>
    (await toAssignment(assignment('c', [endpoint('10.0.0.1', 8080, { workload })], locality))).endpoints[0]!.naming
      .fields;

  it('names the workload by the recipe', async () => {
    expect(await first('web-v1;shop;web;v1;cluster-1')).toEqual({
      ...UNNAMED_FIELDS,
      name: 'web-v1',
      namespace: 'shop',
      canonicalService: 'web',
      canonicalRevision: 'v1',
      cluster: 'cluster-1',
      region: 'eu-1',
      zone: 'eu-1a',
    });
    expect(await first('web;shop;;;', '/')).toEqual({
      ...UNNAMED_FIELDS,
      name: 'web',
      namespace: 'shop',
      canonicalRevision: 'latest',
    });
  });

  it('names nobody where the metadata names nobody', async () => {
    for (const workload of [undefined, '', ';shop;web;v1;c']) expect(await first(workload)).toBeUndefined();
  });

  it('has an endpoint for each address, IPv4, IPv6, v4-mapped and behind a tunnel', async () => {
    const tunnel = (endpoint_id: string) => ({
      endpoint: { address: { envoy_internal_address: { server_listener_name: 'connect_originate', endpoint_id } } },
      metadata: { filter_metadata: { 'envoy.transport_socket_match': { fields: { tunnel: { string_value: 'h2' } } } } },
    });
    const { endpoints } = await toAssignment(
      assignment('c', [
        endpoint('10.0.0.1', 80, { additional: ['FD00:0::1'] }),
        endpoint('::ffff:10.0.0.2', 81),
        tunnel('10.0.0.3:82'),
        tunnel('[fd00::3]:83'),
      ]),
    );
    expect(endpoints.map(({ address, port, hbone }) => [address, port, hbone])).toEqual([
      ['10.0.0.1', 80, false],
      ['fd00::1', 80, false],
      ['10.0.0.2', 81, false],
      ['10.0.0.3', 82, true],
      ['fd00::3', 83, true],
    ]);
  });

  it('passes over endpoints that have no ip and port', async () => {
    const none = [
      endpoint('web.example.com', 80),
      endpoint('10.0.0.1', 0),
      endpoint('10.0.0.1', 65_536),
      { endpoint: { address: { pipe: { path: '/run/x' } } } },
      { endpoint: { address: { envoy_internal_address: { endpoint_id: 'x' } } } },
    ];
    expect((await toAssignment(assignment('c', none))).endpoints).toEqual([]);
  });

  it('is read with the locality behind the endpoints too', async () => {
    const group = (fields: Fields) => encode('LocalityLbEndpoints', fields);
    const reversed = Buffer.concat([
      group({ lb_endpoints: [endpoint('10.0.0.1', 80, { workload: 'w;n;c;r;k' })] }),
      group({ locality: { region: 'r', zone: 'z' } }),
    ]);
    const message = Buffer.concat([Buffer.from([0x12, reversed.length]), reversed]);
    const { endpoints } = await readAssignment(new ProtobufReader(message), breathe);
    expect(endpoints[0]?.naming.fields).toMatchObject({ region: 'r', zone: 'z' });
  });

  it('gives back any text of its metadata', async () => {
    const part = fc.string({ unit: 'grapheme' }).map((text) => Buffer.from(text.replaceAll(';', '')).toString());
    await fc.assert(
      fc.asyncProperty(
        part.filter((name) => name !== ''),
        part,
        part,
        part,
        part,
        async (...parts) => {
          const [name, namespace, canonical, revision, clusterId] = parts;
          expect(await first(parts.join(';'))).toMatchObject({
            name,
            namespace: namespace || undefined,
            canonicalService: canonical || undefined,
            canonicalRevision: revision || 'latest',
            cluster: clusterId || undefined,
          });
        },
      ),
    );
  });

  it('knows namings apart, and equal ones as equal', async () => {
    const group = (locality: string, workload: string) =>
      (assignment('c', [endpoint('10.0.0.1', 80, { workload })], locality).endpoints as Fields[])[0]!;
    const endpoints = [group('a/b', 'x;y'), group('a/b', 'x;y'), group('a/c', 'x;y'), group('a/b', 'x;z')];
    const ids = (await toAssignment({ cluster_name: 'c', endpoints })).endpoints.map(({ naming }) => naming.id);
    expect(ids[0]).toBe(ids[1]);
    expect(new Set(ids).size).toBe(3);
  });
});

describe('a listener', () => {
  it('has its addresses, and where TCP and HTTP connections go', async () => {
    const weighted_clusters = { clusters: [{ name: 'b', weight: { value: 1 } }, { name: 'c' }] };
    const route_config = { name: 'inline', virtual_hosts: [virtualHost('h:80', ['*'], 'd')] };
    const chains = [
      chain([tcpProxy({ stat_prefix: 's', cluster: 'a' })]),
      chain(
        [{ name: 'stats' }, tcpProxy({ weighted_clusters })],
        ['10.1.2.3/16', 'fd00:1::/32', '::ffff:10.9.0.0/112'],
      ),
      chain([http({ rds: { route_config_name: '80' } }), http({ route_config })]),
    ];
    expect(await toListener(listener('10.96.0.1', 80, chains, { additional: ['FD00::1'] }))).toEqual({
      name: '10.96.0.1_80',
      addresses: ['10.96.0.1', 'fd00::1'],
      port: 80,
      chains: [
        { ranges: [], clusters: ['a'], routeNames: [], routes: [] },
        {
          ranges: [
            { address: '10.1.0.0', length: 16 },
            { address: 'fd00:1::', length: 32 },
            { address: '10.9.0.0', length: 16 },
          ],
          clusters: ['b', 'c'],
          routeNames: [],
          routes: [],
        },
        {
          ranges: [],
          clusters: [],
          routeNames: ['80'],
          routes: [{ name: 'h:80', addresses: [], any: true, clusters: ['d'] }],
        },
      ],
    });
  });

  it('takes any address where it is bound to none in particular', async () => {
    for (const address of ['0.0.0.0', '::']) {
      expect(await toListener(listener(address, 80, [chain([])]))).toMatchObject({ addresses: [], chains: [{}] });
    }
    expect(await toListener(listener('10.0.0.1', 80, [chain([], ['0.0.0.0/0', '10.0.0.0/8'])]))).toMatchObject({
      chains: [{ ranges: [] }],
    });
  });

  it('has the default chain as well', async () => {
    const fields = { ...listener('10.0.0.1', 80, []), default_filter_chain: chain([tcpProxy({ cluster: 'a' })]) };
    expect(await toListener(fields)).toMatchObject({ chains: [{ clusters: ['a'] }] });
  });

  it('leads nowhere if it is inbound, not on the network, or for addresses that are none', async () => {
    const chains = [chain([tcpProxy({ cluster: 'a' })])];
    expect(await toListener(listener('10.0.0.1', 80, chains, { direction: 1 }))).toMatchObject({ chains: [] });
    expect(await toListener({ name: 'pipe', address: { pipe: { path: '/x' } }, filter_chains: chains })).toMatchObject({
      chains: [],
    });
    const odd = [chain([tcpProxy({ cluster: 'a' })], ['nowhere/8', '10.0.0.0/33'])];
    expect(await toListener(listener('0.0.0.0', 80, odd))).toMatchObject({ chains: [] });
  });
});

describe('a route configuration', () => {
  it('has the virtual hosts that an address leads to, with their clusters', async () => {
    const routes = {
      name: '80',
      virtual_hosts: [
        virtualHost('allow_any', ['*'], 'PassthroughCluster'),
        virtualHost('web:80', ['web', 'web.shop', '10.96.0.1', '10.96.0.2:80', '[FD00::1]', '[fd00::2]:80'], WEB, WEB),
        virtualHost('nobody:80', ['nobody.shop', '10.96.0.300'], 'x'),
        {
          name: 'split:80',
          domains: ['fd00::9'],
          routes: [{ route: { weighted_clusters: { clusters: [{ name: 'a' }, { name: 'b' }] } } }, {}],
        },
      ],
    };
    expect(await toRoutes(routes)).toEqual({
      name: '80',
      hosts: [
        { name: 'allow_any', addresses: [], any: true, clusters: ['PassthroughCluster'] },
        { name: 'web:80', addresses: ['10.96.0.1', '10.96.0.2', 'fd00::1', 'fd00::2'], any: false, clusters: [WEB] },
        { name: 'split:80', addresses: ['fd00::9'], any: false, clusters: ['a', 'b'] },
      ],
    });
  });
});

describe('the resources of a response', () => {
  const any = (type_url: string, value: Buffer) => encode('Any', { type_url, value });
  const good = any(TYPE_URLS.Cluster, encode('Cluster', cluster(WEB)));

  it('are kept apart from what cannot be read, which is told by name as far as it has one', async () => {
    const cut = encode('Cluster', cluster('outbound|1||cut.shop.svc.cluster.local'));
    const { resources, rejected, nameless } = await decodeResources(
      CLUSTERS,
      [
        good,
        any(TYPE_URLS.Cluster, cut.subarray(0, cut.length - 3)),
        any(TYPE_URLS.Listener, encode('Listener', listener('10.0.0.1', 80, []))),
        any(TYPE_URLS.Cluster, encode('Cluster', { type: 3 })),
        Buffer.from([0x0a, 0x7f]),
        any('', Buffer.alloc(0)),
      ],
      breathe,
    );
    expect([...resources.keys()]).toEqual([WEB]);
    expect(rejected.map(({ name, reason }) => `${name}: ${reason}`)).toEqual([
      expect.stringMatching(/^outbound\|1\|\|cut.*: field 25 is said to be \d+ bytes long, \d+ are left$/),
      '10.0.0.1_80: it is of type envoy.config.listener.v3.Listener',
      'resource 4 of 6: it has no name',
      expect.stringMatching(/^resource 5 of 6: field 1 is said to be/),
      'resource 6 of 6: it is of no type',
    ]);
    expect(nameless).toBe(true);
  });
});
