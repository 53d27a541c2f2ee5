/** A small mesh as istiod tells it to a sidecar. */
import type { ControlPlane } from './control-plane.ts';
import { assignment, chain, cluster, endpoint, http, listener, tcpProxy, virtualHost } from './envoy.ts';

export const WEB = 'web.shop.svc.cluster.local';
export const DB = 'db.shop.svc.cluster.local';
export const WEB_80 = `outbound|80||${WEB}`;
export const DB_5432 = `outbound|5432||${DB}`;
export const WEB_V1 = 'web-v1;shop;web;v1;Kubernetes';
export const DB_V1 = 'db;shop;db;;Kubernetes';

export type Fields = Readonly<Record<string, unknown>>;

/** Resources by their names. */
export const named = (...list: readonly Fields[]) =>
  Object.fromEntries(list.map((each) => [each.name as string, each]));
export const assignments = (...list: readonly Fields[]) =>
  Object.fromEntries(list.map((each) => [each.cluster_name as string, each]));

/** An HTTP service by a listener for any address, a TCP one by a listener of its own; two pods, one of them with both families. */
export function mesh(plane: ControlPlane): void {
  plane.state.Cluster = named(
    cluster(WEB_80, { sans: ['spiffe://cluster.local/ns/shop/sa/web'] }),
    cluster(DB_5432, { sans: ['spiffe://a/ns/shop/sa/db', 'spiffe://b/ns/shop/sa/db'] }),
    cluster('PassthroughCluster', { type: 4, service: null }),
    cluster('inbound|80||', { type: 4 }),
  );
  plane.state.ClusterLoadAssignment = assignments(
    assignment(WEB_80, [
      endpoint('10.0.1.1', 8080, { workload: WEB_V1, additional: ['fd00:10::1'] }),
      endpoint('10.0.1.2', 9090, { workload: WEB_V1 }),
    ]),
    assignment(DB_5432, [endpoint('10.0.2.1', 5432, { workload: DB_V1 })], 'eu-2/eu-2b'),
  );
  plane.state.Listener = named(
    listener('0.0.0.0', 80, [chain([http({ rds: { route_config_name: '80' } })])]),
    listener('10.96.0.2', 5432, [chain([tcpProxy({ cluster: DB_5432 })])], { additional: ['fd00:96::2'] }),
    listener('0.0.0.0', 15001, [chain([tcpProxy({ cluster: 'PassthroughCluster' })])]),
    listener('0.0.0.0', 15006, [chain([tcpProxy({ cluster: 'inbound|80||' })])], { direction: 1 }),
  );
  plane.state.RouteConfiguration = named({
    name: '80',
    virtual_hosts: [
      virtualHost('allow_any', ['*'], 'PassthroughCluster'),
      virtualHost(`${WEB}:80`, [WEB, 'web', 'web.shop', '10.96.0.1', '[fd00:96::1]'], WEB_80),
    ],
  });
}
