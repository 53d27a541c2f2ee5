/** envoy.config.listener.v3.Listener: which addresses a client may dial, and where such connections go. */
import { canonicalAddress, fullLength, maskAddress } from '../../../semconv/address.ts';
import type { Breather } from '../../slices.ts';
import { ProtobufReader } from '../xds/protobuf-reader.ts';
import type { FilterChain, Listener, Range, VirtualHost } from './resources.ts';
import { readRoutes, readWeightedClusters } from './route.ts';
import { each, readAddress, readAny, readWrappedNumber, type TypedConfig } from './wire.ts';

const TCP_PROXY = 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';
const HTTP = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';

/** `Listener.traffic_direction`: what it takes is for this node's own workload. */
const INBOUND = 1;

const ANY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/**
 * Listener { name = 1, address = 2, filter_chains = 3, traffic_direction = 16, default_filter_chain = 25,
 * additional_addresses = 33 { address = 1 } }. An inbound one, and one that is not on the network, has no chains.
 */
export async function readListener(reader: ProtobufReader, breathe: Breather): Promise<Listener> {
  let name = '';
  let direction = 0;
  let port = 0;
  const addresses: string[] = [];
  const messages: Buffer[] = [];
  const readOne = () => {
    const found = readAddress(reader);
    if (!found) return;
    addresses.push(found.address);
    port = found.port;
  };
  const readAdditional = (field: number) => {
    if (field === 1) readOne();
  };
  while (reader.next()) {
    if (reader.field === 1) name = reader.text();
    else if (reader.field === 2) readOne();
    else if (reader.field === 3 || reader.field === 25) messages.push(reader.bytes());
    else if (reader.field === 16) direction = reader.number();
    else if (reader.field === 33) each(reader, readAdditional);
  }
  const chains: FilterChain[] = [];
  if (direction !== INBOUND && addresses.length > 0) {
    for (const message of messages) {
      const chain = await readChain(new ProtobufReader(message), breathe);
      if (chain) chains.push(chain);
      await breathe();
    }
  }
  return { name, addresses: addresses.filter((address) => !ANY_ADDRESS.has(address)), port, chains };
}

/** FilterChain { filter_chain_match = 1, filters = 3 }; undefined if it is for addresses that cannot be understood. */
async function readChain(reader: ProtobufReader, breathe: Breather): Promise<FilterChain | undefined> {
  let ranges: readonly Range[] | undefined = [];
  const clusters = new Set<string>();
  const routeNames = new Set<string>();
  const routes: VirtualHost[] = [];
  while (reader.next()) {
    if (reader.field === 1) ranges = readMatch(reader);
    else if (reader.field === 3) {
      const filter = readFilter(reader);
      if (filter?.type === TCP_PROXY) readTcpProxy(filter.value, clusters);
      else if (filter?.type === HTTP) await readHttp(filter.value, routeNames, routes, breathe);
    }
  }
  return ranges && { ranges, clusters: [...clusters], routeNames: [...routeNames], routes };
}

/** FilterChainMatch { prefix_ranges = 3 }. Empty: any address. undefined: none that can be understood. */
function readMatch(reader: ProtobufReader): readonly Range[] | undefined {
  const found: (Range | undefined)[] = [];
  each(reader, (field) => {
    if (field === 3) found.push(readRange(reader));
  });
  const ranges = found.filter((range) => range !== undefined);
  if (ranges.some(({ length }) => length === 0)) return [];
  return found.length > 0 && ranges.length === 0 ? undefined : ranges;
}

/** CidrRange { address_prefix = 1, prefix_len = 2 }. */
function readRange(reader: ProtobufReader): Range | undefined {
  let text = '';
  let length = 0;
  each(reader, (field) => {
    if (field === 1) text = reader.text();
    else if (field === 2) length = readWrappedNumber(reader);
  });
  const address = canonicalAddress(text);
  if (address === undefined) return undefined;
  // A v4-mapped prefix has IPv4's length behind the first 96 bits.
  if (text.includes(':') && !address.includes(':')) length = Math.max(0, length - 96);
  return length <= fullLength(address) ? { address: maskAddress(address, length), length } : undefined;
}

/** Filter { typed_config = 4 }. */
function readFilter(reader: ProtobufReader): TypedConfig | undefined {
  let config: TypedConfig | undefined;
  each(reader, (field) => {
    if (field === 4) config = readAny(reader.bytes());
  });
  return config;
}

/** TcpProxy { cluster = 2, weighted_clusters = 10 }. */
function readTcpProxy(reader: ProtobufReader, clusters: Set<string>): void {
  while (reader.next()) {
    if (reader.field === 2) clusters.add(reader.text());
    else if (reader.field === 10) readWeightedClusters(reader, clusters);
  }
}

/** HttpConnectionManager { rds = 3 { route_config_name = 2 }, route_config = 4 }. */
async function readHttp(
  reader: ProtobufReader,
  routeNames: Set<string>,
  routes: VirtualHost[],
  breathe: Breather,
): Promise<void> {
  const readRds = (field: number) => {
    if (field === 2) routeNames.add(reader.text());
  };
  while (reader.next()) {
    if (reader.field === 3) each(reader, readRds);
    else if (reader.field === 4) {
      const outer = reader.enter();
      const { hosts } = await readRoutes(reader, breathe);
      routes.push(...hosts);
      reader.leave(outer);
    }
  }
}
