/** envoy.config.cluster.v3.Cluster: which service port it is for, and where its endpoints are. */

import type { Breather } from '../../slices.ts';
import type { Service } from '../../types.ts';
import { ProtobufReader } from '../xds/protobuf-reader.ts';
import { readAssignment } from './assignment.ts';
import type { Cluster, ClusterService, Endpoint } from './resources.ts';
import { createSans } from './upstream-tls.ts';
import { each, firstStruct, mapValue, valueText } from './wire.ts';

/** `Cluster.type`. */
const EDS = 3;
const ORIGINAL_DST = 4;

/** Istio's names of the clusters that a client dials: `outbound|<port>|<subset>|<FQDN>`. */
const OUTBOUND = /^outbound\|(\d{1,5})\|[^|]*\|(.+)$/;

/** Service names within a Kubernetes cluster: `<name>.<namespace>.svc.<domain>`. */
const KUBERNETES = /^[^.]+\.([^.]+)\.svc\./;

export async function readCluster(reader: ProtobufReader, breathe: Breather): Promise<Cluster> {
  let name = '';
  let type = 0;
  let serviceName = '';
  let metadata: Buffer | undefined;
  let endpoints: readonly Endpoint[] = [];
  const sans = createSans();
  while (reader.next()) {
    if (reader.field === 1) name = reader.text();
    else if (reader.field === 2) type = reader.number();
    else if (reader.field === 3) serviceName = readServiceName(reader);
    else if (reader.field === 24) sans.readTransportSocket(reader);
    else if (reader.field === 25) metadata = reader.bytes();
    else if (reader.field === 33) ({ endpoints } = await readAssignment(new ProtobufReader(reader.bytes()), breathe));
    else if (reader.field === 43) sans.readTransportSocketMatch(reader);
  }
  return {
    name,
    service: clusterService(name, metadata),
    originalDestination: type === ORIGINAL_DST,
    edsName: type === EDS ? serviceName || name : undefined,
    endpoints: type === EDS ? [] : endpoints,
    principal: sans.principal,
  };
}

/** EdsClusterConfig { service_name = 2 }. */
function readServiceName(reader: ProtobufReader): string {
  let name = '';
  each(reader, (field) => {
    if (field === 2) name = reader.text();
  });
  return name;
}

/** By `filter_metadata["istio"].services[0]`, else as far as the cluster's name says it. */
function clusterService(clusterName: string, metadata: Buffer | undefined): ClusterService | undefined {
  const [, port, fqdn] = OUTBOUND.exec(clusterName) ?? [];
  if (port === undefined || fqdn === undefined) return undefined;
  const told = firstStruct(mapValue(mapValue(metadata, 'istio'), 'services'));
  const text = (key: string) => valueText(mapValue(told, key));
  const hostname = text('host') || fqdn;
  const service: Service = {
    hostname,
    name: text('name') || hostname.split('.', 1)[0]!,
    namespace: text('namespace') || KUBERNETES.exec(hostname)?.[1],
  };
  return { key: `${service.namespace ?? ''}/${hostname}`, service, port: Number(port) };
}
