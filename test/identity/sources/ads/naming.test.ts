/** Who is named by what, for the shapes of configuration that istiod sends to sidecars. */

import { describe, expect, it } from 'vitest';
import { addressOf, addressText } from '../../../../src/semconv/address.ts';
import { assignment, chain, cluster, endpoint, http, listener, tcpProxy, virtualHost } from './support/envoy.ts';
import { assignments, DB, DB_5432, DB_V1, type Fields, mesh, named, WEB, WEB_80, WEB_V1 } from './support/mesh.ts';
import { synced, until } from './support/rig.ts';

describe('a workload', () => {
  it('is known by its address, IPv4 and IPv6, with its principal where the cluster has exactly one', async () => {
    const { workload } = await synced(mesh);
    const web = {
      name: 'web-v1',
      namespace: 'shop',
      podName: undefined,
      canonicalService: 'web',
      canonicalRevision: 'v1',
      principal: 'spiffe://cluster.local/ns/shop/sa/web',
      cluster: 'Kubernetes',
      region: 'eu-1',
      zone: 'eu-1a',
    };
    expect(workload('10.0.1.1')).toMatchObject(web);
    expect(workload('fd00:10::1')).toBe(workload('10.0.1.1'));
    expect(workload('10.0.1.2')).toBe(workload('10.0.1.1'));
    const db = { name: 'db', canonicalRevision: 'latest', principal: undefined, region: 'eu-2', zone: 'eu-2b' };
    expect(workload('10.0.2.1')).toMatchObject(db);
    expect(workload('10.0.9.9')).toBeUndefined();
  });

  it('is not named by its network alone: the directory is told the one that is configured', async () => {
    const { workload, source, hostname } = await synced(mesh, { network: 'net1' });
    expect(source.shelf.network).toBe('net1');
    expect(workload('10.0.1.1')?.name).toBe('web-v1');
    expect(hostname('10.96.0.1', 80)).toBe(WEB);
  });

  it('has no principal where clusters contradict each other about it', async () => {
    const { workload } = await synced((plane) => {
      mesh(plane);
      plane.state.Cluster.other = cluster('outbound|81||other.shop.svc.cluster.local', {
        sans: ['spiffe://x/ns/y/sa/z'],
      });
      plane.state.Cluster.other = { ...plane.state.Cluster.other, eds_cluster_config: { service_name: WEB_80 } };
    });
    expect(workload('10.0.1.1')).toMatchObject({ name: 'web-v1', principal: undefined });
  });

  it("does not get the name of an address that several share: it is a node's, and names nobody", async () => {
    const exporter = 'outbound|9100||exporter.kube.svc.cluster.local';
    const proxy = 'outbound|10249||proxy.kube.svc.cluster.local';
    const rig = await synced((plane) => {
      mesh(plane);
      Object.assign(plane.state.Cluster, named(cluster(exporter), cluster(proxy)));
      Object.assign(
        plane.state.ClusterLoadAssignment,
        assignments(
          assignment(exporter, [endpoint('192.168.0.5', 9100, { workload: 'exporter;kube;;;k' })]),
          assignment(proxy, [endpoint('192.168.0.5', 10249, { workload: 'proxy;kube;;;k' })]),
        ),
      );
      Object.assign(
        plane.state.Listener,
        named(listener('10.96.0.9', 9100, [chain([tcpProxy({ cluster: exporter })])])),
      );
    });
    const { shelf } = rig.source;
    expect(rig.workload('192.168.0.5')).toBeUndefined();
    // Who dials the service's own address still meets its workload, as the only one behind it.
    const service = shelf.services.byAddress('', addressOf('10.96.0.9'), undefined, 9100)!;
    expect(shelf.services.backing(service, 9100).workload?.name).toBe('exporter');
    // Once it is one's alone, it is that one's.
    rig.plane.set('ClusterLoadAssignment', assignments(assignment(proxy, [])));
    rig.plane.push('ClusterLoadAssignment', [proxy]);
    await until(() => rig.workload('192.168.0.5')?.name === 'exporter');
  });

  it('without a name is nobody, and keeps the other endpoints of its service from being taken for it', async () => {
    const { workload, source } = await synced((plane) => {
      mesh(plane);
      plane.state.ClusterLoadAssignment[DB_5432] = assignment(DB_5432, [
        endpoint('10.0.2.1', 5432, { workload: DB_V1 }),
        endpoint('192.0.2.7', 5432, { workload: ';shop;;;Kubernetes' }),
        endpoint('192.0.2.8', 5432),
      ]);
    });
    expect(workload('192.0.2.7')).toBeUndefined();
    expect(workload('192.0.2.8')).toBeUndefined();
    const service = source.shelf.services.byAddress('', addressOf('10.96.0.2'), undefined, 5432)!;
    expect(source.shelf.services.backing(service, 5432).workload).toBeUndefined();
  });
});

describe('a service', () => {
  it('is dialled by its virtual addresses, of TCP and of HTTP, IPv4 and IPv6', async () => {
    const { service } = await synced(mesh);
    for (const address of ['10.96.0.1', 'fd00:96::1']) {
      expect(service(address, 80)).toEqual({ hostname: WEB, name: 'web', namespace: 'shop' });
    }
    for (const address of ['10.96.0.2', 'fd00:96::2']) expect(service(address, 5432)?.hostname).toBe(DB);
    // As in workload mode: the address is the service's whatever the port.
    expect(service('10.96.0.2', 1)?.hostname).toBe(DB);
    expect(service('10.96.0.3', 80)).toBeUndefined();
  });

  it('is that of a dialled pod by its own port there, lowest FQDN first', async () => {
    const rig = await synced((plane) => {
      mesh(plane);
      const early = 'outbound|7000||a.shop.svc.cluster.local';
      plane.state.Cluster[early] = cluster(early);
      plane.state.ClusterLoadAssignment[early] = assignment(early, [endpoint('10.0.1.1', 8080, { workload: WEB_V1 })]);
    });
    // Nobody dials the other by an address of its own.
    expect(rig.hostname('10.0.1.1', 8080)).toBe(WEB);
    Object.assign(
      rig.plane.state.Listener,
      named(listener('10.96.0.7', 7000, [chain([tcpProxy({ cluster: 'outbound|7000||a.shop.svc.cluster.local' })])])),
    );
    rig.plane.push('Listener');
    await until(() => rig.hostname('10.0.1.1', 8080) === 'a.shop.svc.cluster.local');
    expect(rig.hostname('10.0.1.2', 9090)).toBe(WEB);
    expect(rig.hostname('fd00:10::1', 8080)).toBe(WEB);
    // The port of another pod of the service is not this one's.
    expect(rig.hostname('10.0.1.2', 8080)).toBeUndefined();
    expect(rig.hostname('10.0.1.1', 22)).toBeUndefined();
  });

  it('is told by port where several have one address', async () => {
    const { hostname } = await synced((plane) => {
      mesh(plane);
      Object.assign(plane.state.Listener, named(listener('10.96.0.2', 80, [chain([tcpProxy({ cluster: WEB_80 })])])));
    });
    expect(hostname('10.96.0.2', 5432)).toBe(DB);
    expect(hostname('10.96.0.2', 80)).toBe(WEB);
    expect(hostname('10.96.0.2', 443)).toBeUndefined();
  });

  it('that is headless is told by the port of the pods that are dialled', async () => {
    const { hostname, workload } = await synced((plane) => {
      mesh(plane);
      const headless = 'outbound|3306||mysql.shop.svc.cluster.local';
      plane.state.Cluster[headless] = cluster(headless, { type: 4 });
      Object.assign(
        plane.state.Listener,
        named(
          listener('10.0.3.1', 3306, [chain([tcpProxy({ cluster: headless })])]),
          // A pod that backs another service as well: its address is its own, whatever listens on it.
          listener('10.0.2.1', 5432, [chain([tcpProxy({ cluster: headless })])]),
        ),
      );
    });
    expect(hostname('10.0.3.1', 3306)).toBe('mysql.shop.svc.cluster.local');
    expect(hostname('10.0.3.1', 22)).toBeUndefined();
    expect(workload('10.0.3.1')).toBeUndefined();
    expect(hostname('10.0.2.1', 5432)).toBe(DB);
  });

  it('has a range of addresses where its listener has one', async () => {
    const { hostname } = await synced((plane) => {
      mesh(plane);
      const wide = 'outbound|9000||wide.example';
      plane.state.Cluster[wide] = cluster(wide, { type: 4, service: ['wide.example', 'wide.example', 'shop'] });
      Object.assign(
        plane.state.Listener,
        named(
          listener('0.0.0.0', 9000, [
            chain([tcpProxy({ cluster: wide })], ['203.0.113.0/24', '2001:db8::/32']),
            chain([tcpProxy({ cluster: DB_5432 })], ['203.0.113.7/32']),
            chain([tcpProxy({ cluster: 'PassthroughCluster' })]),
          ]),
        ),
      );
    });
    expect(hostname('203.0.113.9', 9000)).toBe('wide.example');
    expect(hostname('2001:db8::9', 9000)).toBe('wide.example');
    expect(hostname('203.0.113.7', 9000)).toBe(DB);
    expect(hostname('203.0.113.9', 9001)).toBeUndefined();
  });

  it('is the one that the configuration names where connections go to several', async () => {
    const canary = 'outbound|80||canary.shop.svc.cluster.local';
    const split = { clusters: [{ name: WEB_80 }, { name: canary }] };
    const { hostname } = await synced((plane) => {
      mesh(plane);
      plane.state.Cluster[canary] = cluster(canary);
      plane.state.ClusterLoadAssignment[canary] = assignment(canary, []);
      plane.state.RouteConfiguration = named(
        {
          name: '80',
          virtual_hosts: [
            { ...virtualHost(`${WEB}:80`, [WEB, '10.96.0.1']), routes: [{ route: { weighted_clusters: split } }] },
            virtualHost('moved.example:80', ['10.96.0.6'], canary),
            virtualHost('neither.example:80', ['10.96.0.7'], WEB_80, canary),
          ],
        },
        // A service whose protocol is found out: HTTP by a route of its own, TCP by its cluster.
        { name: `${WEB}:81`, virtual_hosts: [virtualHost(`${WEB}:81`, ['*'], WEB_80, canary)] },
      );
      Object.assign(
        plane.state.Listener,
        named(
          listener('10.96.0.4', 81, [
            chain([http({ rds: { route_config_name: `${WEB}:81` } })]),
            chain([tcpProxy({ cluster: WEB_80 })]),
          ]),
          listener('10.96.0.5', 82, [chain([tcpProxy({ weighted_clusters: split })])]),
        ),
      );
    });
    expect(hostname('10.96.0.1', 80)).toBe(WEB);
    expect(hostname('10.96.0.4', 81)).toBe(WEB);
    expect(hostname('10.96.0.6', 80)).toBe('canary.shop.svc.cluster.local');
    expect(hostname('10.96.0.7', 80)).toBeUndefined();
    expect(hostname('10.96.0.5', 82)).toBeUndefined();
  });

  it('has the subsets of its clusters in common', async () => {
    const subset = `outbound|80|v1|${WEB}`;
    const { hostname, source } = await synced((plane) => {
      mesh(plane);
      plane.state.Cluster[subset] = cluster(subset);
      plane.state.ClusterLoadAssignment[subset] = assignment(subset, [
        endpoint('10.0.1.1', 8080, { workload: WEB_V1 }),
      ]);
      plane.state.RouteConfiguration['80'] = {
        name: '80',
        virtual_hosts: [virtualHost(`${WEB}:80`, ['10.96.0.1'], subset)],
      };
    });
    expect(hostname('10.96.0.1', 80)).toBe(WEB);
    expect(source.shelf.services.size).toBe(2);
    expect(source.shelf.workloadCount).toBe(4);
  });
});

describe('a change', () => {
  it('of endpoints moves an address from one workload to another, and the history stays', async () => {
    const rig = await synced(mesh);
    const before = rig.clock.now();
    const old = rig.workload('10.0.1.1');
    rig.clock.advance(10_000);
    rig.plane.set(
      'ClusterLoadAssignment',
      assignments(assignment(WEB_80, [endpoint('10.0.1.1', 8080, { workload: 'web-v2;shop;web;v2;Kubernetes' })])),
    );
    await until(() => rig.workload('10.0.1.1')?.name === 'web-v2');
    expect(rig.workload('10.0.1.2')).toBeUndefined();
    expect(rig.workload('fd00:10::1')).toBeUndefined();
    expect(rig.source.shelf.byAddress(addressOf('10.0.1.1'), before)?.workload).toBe(old);
    // Those of which nothing was said are as they were.
    expect(rig.workload('10.0.2.1')?.name).toBe('db');
  });

  it('is announced for the addresses that it concerns, and for no others', async () => {
    const rig = await synced(mesh);
    const announced = new Set<string>();
    rig.directory.onChange(({ addresses }) => {
      for (const address of addresses) announced.add(addressText(address));
    });
    rig.plane.push('ClusterLoadAssignment');
    rig.plane.push('Cluster');
    rig.plane.push('Listener');
    rig.plane.push('RouteConfiguration');
    rig.plane.set(
      'ClusterLoadAssignment',
      assignments(
        assignment(WEB_80, [
          endpoint('10.0.1.1', 8080, { workload: WEB_V1, additional: ['fd00:10::1'] }),
          endpoint('10.0.1.2', 9090, { workload: WEB_V1 }),
          endpoint('10.0.1.3', 9090, { workload: WEB_V1 }),
        ]),
      ),
    );
    await until(() => rig.workload('10.0.1.3') !== undefined);
    expect([...announced].sort()).toEqual(['10.0.1.3', '10.96.0.1', 'fd00:96::1']);
  });

  it('of clusters takes away services and the pods that back no other', async () => {
    const rig = await synced(mesh);
    const { [DB_5432]: _, ...rest } = rig.plane.state.Cluster as Record<string, Fields>;
    rig.plane.set('Cluster', rest);
    await until(() => rig.workload('10.0.2.1') === undefined);
    expect(rig.service('10.96.0.2', 5432)).toBeUndefined();
    expect(rig.service('10.96.0.1', 80)?.hostname).toBe(WEB);
    expect(rig.source.shelf.services.size).toBe(1);
  });

  it('of a principal reaches the pods', async () => {
    const rig = await synced(mesh);
    const sans = ['spiffe://cluster.local/ns/shop/sa/other'];
    rig.plane.set('Cluster', { ...rig.plane.state.Cluster, [WEB_80]: cluster(WEB_80, { sans }) } as never);
    await until(() => rig.workload('10.0.1.1')?.principal === sans[0]);
  });

  it('of listeners and routes moves virtual addresses', async () => {
    const rig = await synced(mesh);
    rig.plane.set(
      'RouteConfiguration',
      named({ name: '80', virtual_hosts: [virtualHost(`${WEB}:80`, ['10.96.0.8'], WEB_80)] }),
    );
    await until(() => rig.service('10.96.0.8', 80) !== undefined);
    expect(rig.service('10.96.0.1', 80)).toBeUndefined();
    rig.plane.set('Listener', named(listener('10.96.0.2', 80, [chain([tcpProxy({ cluster: WEB_80 })])])));
    await until(() => rig.service('10.96.0.2', 80)?.hostname === WEB);
    expect(rig.service('10.96.0.8', 80)).toBeUndefined();
  });

  it("makes a dialled address a pod's, and back", async () => {
    const rig = await synced(mesh);
    const pods = (address: string) =>
      rig.plane.set(
        'ClusterLoadAssignment',
        assignments(assignment(WEB_80, [endpoint(address, 8080, { workload: WEB_V1 })])),
      );
    pods('10.96.0.2');
    // services are gone through after workloads
    await until(() => rig.workload('10.96.0.2') !== undefined && rig.hostname('10.96.0.2', 8080) === WEB);
    expect(rig.hostname('10.96.0.2', 5432)).toBeUndefined();
    pods('10.0.1.1');
    await until(() => rig.workload('10.96.0.2') === undefined && rig.hostname('10.96.0.2', 5432) === DB);
  });
});
