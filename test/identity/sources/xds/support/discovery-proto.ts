/** The published field numbers of Envoy's discovery API and Istio's workload API, as far as tests speak them. */
export const DISCOVERY_PROTO = `
syntax = "proto3";

message Any {
  string type_url = 1;
  bytes value = 2;
}

message Value {
  oneof kind {
    double number_value = 2;
    string string_value = 3;
  }
}

message Struct {
  map<string, Value> fields = 1;
}

message Node {
  string id = 1;
  string cluster = 2;
  Struct metadata = 3;
}

message Status {
  int32 code = 1;
  string message = 2;
}

message DeltaDiscoveryRequest {
  Node node = 1;
  string type_url = 2;
  repeated string resource_names_subscribe = 3;
  repeated string resource_names_unsubscribe = 4;
  map<string, string> initial_resource_versions = 5;
  string response_nonce = 6;
  Status error_detail = 7;
}

message Resource {
  string version = 1;
  Any resource = 2;
  string name = 3;
  repeated string aliases = 4;
}

message ControlPlane {
  string identifier = 1;
}

message DeltaDiscoveryResponse {
  string system_version_info = 1;
  repeated Resource resources = 2;
  string type_url = 4;
  string nonce = 5;
  repeated string removed_resources = 6;
  ControlPlane control_plane = 7;
}

message Address {
  oneof type {
    Workload workload = 1;
    Service service = 2;
  }
}

message NetworkAddress {
  string network = 1;
  bytes address = 2;
  optional uint32 length = 3;
}

message Port {
  uint32 service_port = 1;
  uint32 target_port = 2;
  uint32 app_protocol = 3;
}

message PortList {
  repeated Port ports = 1;
}

message GatewayAddress {
  NetworkAddress address = 2;
  uint32 hbone_mtls_port = 3;
}

message Locality {
  string region = 1;
  string zone = 2;
  string subzone = 3;
}

message UInt32Value {
  uint32 value = 1;
}

message Workload {
  string name = 1;
  string namespace = 2;
  repeated bytes addresses = 3;
  string network = 4;
  uint32 tunnel_protocol = 5;
  string trust_domain = 6;
  string service_account = 7;
  GatewayAddress waypoint = 8;
  string node = 9;
  string canonical_name = 10;
  string canonical_revision = 11;
  uint32 workload_type = 12;
  string workload_name = 13;
  bool native_tunnel = 14;
  repeated string authorization_policies = 16;
  uint32 status = 17;
  string cluster_id = 18;
  GatewayAddress network_gateway = 19;
  string uid = 20;
  string hostname = 21;
  map<string, PortList> services = 22;
  Locality locality = 24;
  uint32 network_mode = 25;
  UInt32Value capacity = 27;
}

message Service {
  string name = 1;
  string namespace = 2;
  string hostname = 3;
  repeated NetworkAddress addresses = 4;
  repeated Port ports = 5;
  repeated string subject_alt_names = 6;
  GatewayAddress waypoint = 7;
  uint32 ip_families = 9;
  bool canonical = 11;
  uint32 visibility = 14;
}

// Every wire type, nested, for the reader itself.
message Sampler {
  uint32 small = 1;
  uint64 large = 2;
  string text = 3;
  bytes blob = 4;
  fixed32 four = 5;
  fixed64 eight = 6;
  Sampler inner = 7;
  repeated Sampler many = 8;
  bool flag = 9;
  int32 negative = 10;
}
`;
