/** Envoy's resources as protobufjs encodes them: an encoder that shares nothing with the reader under test. */
import protobuf from 'protobufjs';

/** The messages of Envoy's API v3 with the fields that istiod fills, those of no interest to the agent among them. */
const PROTO = `
syntax = "proto3";
message Any { string type_url = 1; bytes value = 2; }
message UInt32Value { uint32 value = 1; }
message Struct { map<string, Value> fields = 1; }
message Value { oneof kind { int32 null_value = 1; double number_value = 2; string string_value = 3; bool bool_value = 4; Struct struct_value = 5; ListValue list_value = 6; } }
message ListValue { repeated Value values = 1; }
message Metadata { map<string, Struct> filter_metadata = 1; map<string, Any> typed_filter_metadata = 2; }
message Locality { string region = 1; string zone = 2; string sub_zone = 3; }
message Address { oneof address { SocketAddress socket_address = 1; Pipe pipe = 2; InternalAddress envoy_internal_address = 3; } }
message SocketAddress { int32 protocol = 1; string address = 2; oneof port { uint32 port_value = 3; string named_port = 4; } }
message Pipe { string path = 1; }
message InternalAddress { string server_listener_name = 1; string endpoint_id = 2; }
message StringMatcher { oneof pattern { string exact = 1; string prefix = 2; } }
message Cluster {
  string name = 1; int32 type = 2; EdsClusterConfig eds_cluster_config = 3; double connect_timeout = 4;
  TransportSocket transport_socket = 24; Metadata metadata = 25; string alt_stat_name = 28;
  ClusterLoadAssignment load_assignment = 33; repeated TransportSocketMatch transport_socket_matches = 43;
}
message EdsClusterConfig { bytes eds_config = 1; string service_name = 2; }
message TransportSocket { string name = 1; Any typed_config = 3; }
message TransportSocketMatch { string name = 1; Struct match = 2; TransportSocket transport_socket = 3; }
message UpstreamTlsContext { CommonTlsContext common_tls_context = 1; string sni = 2; }
message CommonTlsContext { ValidationContext validation_context = 3; repeated string alpn_protocols = 4; Combined combined_validation_context = 8; }
message Combined { ValidationContext default_validation_context = 1; }
message ValidationContext { repeated StringMatcher match_subject_alt_names = 9; repeated TypedMatcher match_typed_subject_alt_names = 15; }
message TypedMatcher { int32 san_type = 1; StringMatcher matcher = 2; }
message ClusterLoadAssignment { string cluster_name = 1; repeated LocalityLbEndpoints endpoints = 2; }
message LocalityLbEndpoints { Locality locality = 1; repeated LbEndpoint lb_endpoints = 2; UInt32Value load_balancing_weight = 3; uint32 priority = 5; }
message LbEndpoint { Endpoint endpoint = 1; int32 health_status = 2; Metadata metadata = 3; UInt32Value load_balancing_weight = 4; }
message Endpoint { Address address = 1; string hostname = 3; repeated AdditionalAddress additional_addresses = 4; }
message AdditionalAddress { Address address = 1; }
message Listener {
  string name = 1; Address address = 2; repeated FilterChain filter_chains = 3; int32 traffic_direction = 16;
  FilterChain default_filter_chain = 25; repeated AdditionalAddress additional_addresses = 33;
}
message FilterChain { FilterChainMatch filter_chain_match = 1; repeated Filter filters = 3; string name = 7; }
message FilterChainMatch { repeated CidrRange prefix_ranges = 3; UInt32Value destination_port = 8; string transport_protocol = 9; repeated string server_names = 11; }
message CidrRange { string address_prefix = 1; UInt32Value prefix_len = 2; }
message Filter { string name = 1; Any typed_config = 4; }
message TcpProxy { string stat_prefix = 1; string cluster = 2; WeightedClusters weighted_clusters = 10; }
message WeightedClusters { repeated ClusterWeight clusters = 1; }
message ClusterWeight { string name = 1; UInt32Value weight = 2; }
message HttpConnectionManager { string stat_prefix = 2; Rds rds = 3; RouteConfiguration route_config = 4; repeated Filter http_filters = 5; }
message Rds { bytes config_source = 1; string route_config_name = 2; }
message RouteConfiguration { string name = 1; repeated VirtualHost virtual_hosts = 2; }
message VirtualHost { string name = 1; repeated string domains = 2; repeated Route routes = 3; bool include_request_attempt_count = 14; }
message Route { bytes match = 1; RouteAction route = 2; string name = 14; }
message RouteAction { string cluster = 1; WeightedClusters weighted_clusters = 3; string timeout = 8; }
message Status { int32 code = 1; string message = 2; }
message Node { string id = 1; Struct metadata = 3; }
message DiscoveryRequest { string version_info = 1; Node node = 2; repeated string resource_names = 3; string type_url = 4; string response_nonce = 5; Status error_detail = 6; }
message DiscoveryResponse { string version_info = 1; repeated Any resources = 2; bool canary = 3; string type_url = 4; string nonce = 5; }
`;

const { root } = protobuf.parse(PROTO, { keepCase: true });

type Fields = Readonly<Record<string, unknown>>;

export const encode = (message: string, fields: Fields): Buffer => {
  const type = root.lookupType(message);
  return Buffer.from(type.encode(type.fromObject(fields)).finish());
};

// biome-ignore lint/suspicious/noExplicitAny: whatever the message has
export const decode = (message: string, bytes: Buffer): any => {
  const type = root.lookupType(message);
  return type.toObject(type.decode(bytes), { defaults: true, arrays: true });
};

export const TYPE_URLS = {
  Cluster: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  ClusterLoadAssignment: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  Listener: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  RouteConfiguration: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
} as const;

export type ResourceKind = keyof typeof TYPE_URLS;

const FILTER_URLS: Readonly<Record<string, string>> = {
  TcpProxy: 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
  HttpConnectionManager:
    'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
  UpstreamTlsContext: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
};

const any = (message: string, fields: Fields) => ({ type_url: FILTER_URLS[message], value: encode(message, fields) });

const text = (string_value: string) => ({ string_value });

/** Port 0 is a port that is not given. */
const socket = (address: string, port: number) => ({ socket_address: { address, port_value: port } });

export interface ClusterOptions {
  readonly type?: number;
  /** `[host, name, namespace]` of the metadata; null for a cluster without. */
  readonly service?: readonly [string, string, string] | null;
  readonly sans?: readonly string[];
  readonly serviceName?: string;
}

/** As istiod makes it: `outbound|80||web.shop.svc.cluster.local`, with its metadata. EDS unless told otherwise. */
export function cluster(name: string, { type = 3, service, sans, serviceName }: ClusterOptions = {}): Fields {
  const fqdn = name.split('|').at(-1)!;
  const [host, short, namespace] = service ?? [fqdn, fqdn.split('.')[0]!, fqdn.split('.')[1] ?? ''];
  const listed = {
    struct_value: { fields: { host: text(host), name: text(short), namespace: text(namespace) } },
  };
  return {
    name,
    type,
    connect_timeout: 10,
    ...(type === 3 ? { eds_cluster_config: { service_name: serviceName ?? name } } : {}),
    ...(service === null
      ? {}
      : {
          metadata: {
            filter_metadata: {
              other: { fields: { services: text('no list') } },
              istio: {
                fields: { default_original_port: { number_value: 80 }, services: { list_value: { values: [listed] } } },
              },
            },
          },
        }),
    ...(sans
      ? {
          transport_socket_matches: [
            { name: 'tlsMode-istio', transport_socket: tlsSocket(sans) },
            { name: 'tlsMode-disabled', transport_socket: { name: 'envoy.transport_sockets.raw_buffer' } },
          ],
        }
      : {}),
  };
}

export function tlsSocket(sans: readonly string[]): Fields {
  const matchers = sans.map((exact) => ({ exact }));
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: any('UpstreamTlsContext', {
      sni: 'x',
      common_tls_context: {
        combined_validation_context: { default_validation_context: { match_subject_alt_names: matchers } },
      },
    }),
  };
}

export interface EndpointOptions {
  /** `workload;namespace;canonical;revision;cluster`; undefined for an endpoint without metadata. */
  readonly workload?: string | undefined;
  readonly additional?: readonly string[];
}

export function endpoint(address: string, port: number, { workload, additional = [] }: EndpointOptions = {}): Fields {
  return {
    endpoint: {
      address: socket(address, port),
      additional_addresses: additional.map((other) => ({ address: socket(other, port) })),
    },
    health_status: 1,
    load_balancing_weight: { value: 1 },
    ...(workload === undefined
      ? {}
      : { metadata: { filter_metadata: { istio: { fields: { workload: text(workload) } } } } }),
  };
}

export const assignment = (cluster_name: string, endpoints: readonly Fields[], locality = 'eu-1/eu-1a'): Fields => {
  const [region, zone] = locality.split('/');
  return { cluster_name, endpoints: [{ locality: { region, zone, sub_zone: 's' }, lb_endpoints: endpoints }] };
};

export const tcpProxy = (fields: Fields): Fields => ({ name: 'tcp', typed_config: any('TcpProxy', fields) });
export const http = (fields: Fields): Fields => ({ name: 'http', typed_config: any('HttpConnectionManager', fields) });

export interface ListenerOptions {
  readonly additional?: readonly string[];
  readonly direction?: number;
}

export const listener = (
  address: string,
  port: number,
  filter_chains: readonly Fields[],
  { additional = [], direction = 2 }: ListenerOptions = {},
): Fields => ({
  name: `${address}_${port}`,
  address: socket(address, port),
  traffic_direction: direction,
  filter_chains,
  additional_addresses: additional.map((other) => ({ address: socket(other, port) })),
});

/** A chain that is for these ranges (`10.0.0.0/8`), or for any address. */
export const chain = (filters: readonly Fields[], ranges: readonly string[] = []): Fields => ({
  filters,
  ...(ranges.length > 0
    ? {
        filter_chain_match: {
          prefix_ranges: ranges.map((range) => {
            const [address_prefix, length] = range.split('/');
            return { address_prefix, prefix_len: { value: Number(length) } };
          }),
        },
      }
    : {}),
});

export const virtualHost = (name: string, domains: readonly string[], ...clusters: readonly string[]): Fields => ({
  name,
  domains,
  routes: clusters.map((to) => ({ match: Buffer.from([]), route: { cluster: to, timeout: '0s' } })),
});
