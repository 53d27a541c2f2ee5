/**
 * Who the agent says that it is: Envoy's node message as istiod reads it. The kind of the id decides what istiod gives
 * (`ztunnel`: workloads; `sidecar`: clusters, endpoints, listeners, routes). The namespace must be the token's.
 */
import { networkInterfaces, hostname as readHostname } from 'node:os';
import { ProtobufWriter } from './protobuf-writer.ts';

export interface XdsNode {
  /** `<kind>~<ip>~<pod>.<namespace>~<namespace>.svc.cluster.local`. */
  readonly id: string;
  readonly namespace: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface NodeFacts {
  readonly kind: 'ztunnel' | 'sidecar';
  readonly clusterId: string;
  readonly network: string;
  /** The namespace that the token says, if there is a token. */
  readonly tokenNamespace: string | undefined;
}

/** Where facts about this machine come from; replaced in tests. */
export interface Machine {
  readonly env: Readonly<Record<string, string | undefined>>;
  hostname(): string;
  /** Addresses of this machine other than loopback and link-local ones. */
  addresses(): readonly string[];
}

export const thisMachine: Machine = { env: process.env, hostname: readHostname, addresses: machineAddresses };

const META_PREFIX = 'ISTIO_META_';

/**
 * From the variables that Istio's charts set in a pod: POD_NAME, POD_NAMESPACE, INSTANCE_IP (or POD_IP), NODE_NAME, and
 * every ISTIO_META_*. Without them (on a bare machine) the host's name and addresses, and the token's namespace.
 */
export function createNode({ kind, clusterId, network, tokenNamespace }: NodeFacts, machine: Machine): XdsNode {
  const { env } = machine;
  const hostname = machine.hostname();
  const name = env.POD_NAME || hostname;
  const namespace = env.POD_NAMESPACE || tokenNamespace || 'default';
  const told = env.INSTANCE_IP || env.POD_IP;
  const addresses = told ? [told] : [...machine.addresses()];
  const address = addresses[0] ?? '127.0.0.1';
  const metadata: Record<string, string> = {};
  for (const [variable, value] of Object.entries(env)) {
    if (variable.startsWith(META_PREFIX) && value) metadata[variable.slice(META_PREFIX.length)] = value;
  }
  metadata.NAME = name;
  metadata.NAMESPACE = namespace;
  metadata.INSTANCE_IPS = env.INSTANCE_IPS || addresses.join(',') || address;
  metadata.NODE_NAME = env.NODE_NAME || hostname;
  metadata.CLUSTER_ID = clusterId;
  if (network !== '') metadata.NETWORK = network;
  return { id: `${kind}~${address}~${name}.${namespace}~${namespace}.svc.cluster.local`, namespace, metadata };
}

/** envoy.config.core.v3.Node { id = 1, metadata = 3 { google.protobuf.Struct { fields = 1 (map of Value) } } } */
export function encodeNode({ id, metadata }: XdsNode): Buffer {
  const struct = new ProtobufWriter();
  for (const [key, value] of Object.entries(metadata)) {
    // Value { string_value = 3 }
    const text = new ProtobufWriter().bytes(3, Buffer.from(value)).finish();
    struct.bytes(1, new ProtobufWriter().text(1, key).bytes(2, text).finish());
  }
  return new ProtobufWriter().text(1, id).bytes(3, struct.finish()).finish();
}

function machineAddresses(): readonly string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !/^(fe80:|169\.254\.)/i.test(address))
    .map(({ address }) => address);
}
