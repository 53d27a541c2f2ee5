/** envoy.config.route.v3.RouteConfiguration: which clusters the requests for an address go to. */
import { canonicalAddress } from '../../../semconv/address.ts';
import type { Breather } from '../../slices.ts';
import type { ProtobufReader } from '../xds/protobuf-reader.ts';
import type { RouteConfiguration, VirtualHost } from './resources.ts';
import { each } from './wire.ts';

/** RouteConfiguration { name = 1, virtual_hosts = 2 }. Virtual hosts that no address leads to are left out. */
export async function readRoutes(reader: ProtobufReader, breathe: Breather): Promise<RouteConfiguration> {
  let name = '';
  const hosts: VirtualHost[] = [];
  while (reader.next()) {
    if (reader.field === 1) name = reader.text();
    else if (reader.field === 2) {
      const host = readVirtualHost(reader);
      if (host.any || host.addresses.length > 0) hosts.push(host);
    }
    await breathe();
  }
  return { name, hosts };
}

/** VirtualHost { name = 1, domains = 2, routes = 3 }. */
function readVirtualHost(reader: ProtobufReader): VirtualHost {
  let name = '';
  let any = false;
  const addresses = new Set<string>();
  const clusters = new Set<string>();
  each(reader, (field) => {
    if (field === 1) name = reader.text();
    else if (field === 3) readRoute(reader, clusters);
    else if (field === 2) {
      const domain = reader.text();
      const address = domainAddress(domain);
      if (address !== undefined) addresses.add(address);
      any ||= domain === '*';
    }
  });
  return { name, addresses: [...addresses], any, clusters: [...clusters] };
}

/** `10.96.0.1`, `10.96.0.1:80`, `[fd00::1]`, `[fd00::1]:80` or `fd00::1`; undefined for a host name. */
function domainAddress(domain: string): string | undefined {
  const bare = /^\[(.+)\](?::\d+)?$/.exec(domain)?.[1] ?? /^([\d.]+):\d+$/.exec(domain)?.[1] ?? domain;
  return canonicalAddress(bare);
}

/** Route { route = 2 { cluster = 1, weighted_clusters = 3 } }. */
function readRoute(reader: ProtobufReader, clusters: Set<string>): void {
  each(reader, (kind) => {
    if (kind !== 2) return;
    each(reader, (field) => {
      if (field === 1) clusters.add(reader.text());
      else if (field === 3) readWeightedClusters(reader, clusters);
    });
  });
}

/** WeightedCluster { clusters = 1 { name = 1 } }: the same of a route's and of a TCP proxy's. */
export function readWeightedClusters(reader: ProtobufReader, clusters: Set<string>): void {
  each(reader, (list) => {
    if (list !== 1) return;
    each(reader, (field) => {
      if (field === 1) clusters.add(reader.text());
    });
  });
}
