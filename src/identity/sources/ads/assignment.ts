/** envoy.config.endpoint.v3.ClusterLoadAssignment: where a cluster's endpoints are, and who they are. */

import type { Breather } from '../../slices.ts';
import type { ProtobufReader } from '../xds/protobuf-reader.ts';
import { Namings } from './naming.ts';
import type { Assignment, Endpoint } from './resources.ts';
import { each, mapValue, readAddress, type SocketAddress, valueText } from './wire.ts';

/** ClusterLoadAssignment { cluster_name = 1, endpoints = 2 (of LocalityLbEndpoints) }. */
export async function readAssignment(reader: ProtobufReader, breathe: Breather): Promise<Assignment> {
  let name = '';
  const endpoints: Endpoint[] = [];
  while (reader.next()) {
    if (reader.field === 1) name = reader.text();
    else if (reader.field === 2) {
      const outer = reader.enter();
      await readGroup(reader, endpoints, breathe);
      reader.leave(outer);
    }
  }
  return { name, endpoints };
}

/** LocalityLbEndpoints { locality = 1 { region = 1, zone = 2 }, lb_endpoints = 2 }. */
async function readGroup(reader: ProtobufReader, into: Endpoint[], breathe: Breather): Promise<void> {
  let region = '';
  let zone = '';
  // Fields may come in any order: namings are made once the locality is known.
  const found: FoundEndpoint[] = [];
  while (reader.next()) {
    if (reader.field === 1) {
      each(reader, (field) => {
        if (field === 1) region = reader.text();
        else if (field === 2) zone = reader.text();
      });
    } else if (reader.field === 2) found.push(readEndpoint(reader));
    await breathe();
  }
  const namings = new Namings(region, zone);
  for (const { addresses, workload, hbone } of found) {
    const naming = namings.get(workload);
    for (const { address, port } of addresses) into.push({ address, port, naming, hbone });
    await breathe();
  }
}

interface FoundEndpoint {
  readonly addresses: readonly SocketAddress[];
  /** `filter_metadata["istio"].workload`, empty if there is none. */
  readonly workload: string;
  readonly hbone: boolean;
}

/** LbEndpoint { endpoint = 1 { address = 1, additional_addresses = 4 { address = 1 } }, metadata = 3 }. */
function readEndpoint(reader: ProtobufReader): FoundEndpoint {
  const addresses: SocketAddress[] = [];
  let workload = '';
  let hbone = false;
  const readOne = () => {
    const address = readAddress(reader);
    if (address) addresses.push(address);
  };
  const readAdditional = (field: number) => {
    if (field === 1) readOne();
  };
  each(reader, (part) => {
    if (part === 3) {
      const metadata = reader.bytes();
      workload = valueText(mapValue(mapValue(metadata, 'istio'), 'workload'));
      // By this the TLS of a connection to it is chosen.
      hbone = valueText(mapValue(mapValue(metadata, 'envoy.transport_socket_match'), 'tunnel')) !== '';
    } else if (part === 1) {
      each(reader, (field) => {
        if (field === 1) readOne();
        else if (field === 4) each(reader, readAdditional);
      });
    }
  });
  return { addresses, workload, hbone };
}
