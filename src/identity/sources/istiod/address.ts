/**
 * istio.workload.Address, the resource of the workload API: one Workload or one Service, read in place for the fields
 * that name somebody (numbers in identity.md; pkg/workloadapi/workload.proto of Istio).
 */
import { addressFromBytes, fullLength, maskAddress } from '../../../semconv/address.ts';
import { type MeshWorkload, spiffeId } from '../../mesh-workload.ts';
import type { PortMap, ServiceKey, ServiceObject, Vip } from '../../objects.ts';
import { BytesTable } from '../xds/bytes-table.ts';
import { MalformedMessage, ProtobufReader } from '../xds/protobuf-reader.ts';
import { TextTable } from '../xds/text-table.ts';

export const ADDRESS_TYPE = 'type.googleapis.com/istio.workload.Address';

export type MeshAddress =
  | { readonly kind: 'workload'; readonly workload: MeshWorkload }
  | { readonly kind: 'service'; readonly service: ServiceObject };

const HOST_NETWORK = 1;
const HBONE = 1;

type Locality = Pick<MeshWorkload, 'region' | 'zone'>;

const NOWHERE: Locality = { region: '', zone: '' };

const NO_ADDRESSES: readonly string[] = [];
const NO_VIPS: readonly Vip[] = [];

interface ServiceEntry {
  readonly key: ServiceKey;
  readonly ports: PortMap;
}

/** The services of a workload. Workloads of one Deployment come to the same one, by the same entries in turn. */
class ServiceSet {
  readonly byKey: ReadonlyMap<ServiceKey, PortMap>;
  #next: Map<ServiceEntry, ServiceSet> | undefined;

  constructor(byKey: ReadonlyMap<ServiceKey, PortMap>) {
    this.byKey = byKey;
  }

  with(entry: ServiceEntry): ServiceSet {
    this.#next ??= new Map();
    let next = this.#next.get(entry);
    if (next === undefined) {
      next = new ServiceSet(new Map(this.byKey).set(entry.key, entry.ports));
      this.#next.set(entry, next);
    }
    return next;
  }
}

/** Decodes the addresses of one message: texts and maps that several of them have are one object. */
export class AddressDecoder {
  readonly #texts = new TextTable();
  readonly #serviceEntries = new BytesTable<ServiceEntry>();
  readonly #noServices = new ServiceSet(new Map());
  readonly #portMaps = new Map<string, PortMap>();
  /** By trust domain, namespace and service account. */
  readonly #principals = new Map<string, Map<string, Map<string, string>>>();

  /**
   * `reader` stands in an Address; `name` is the resource's, which becomes the workload's uid or the service's key:
   * removals name it, and a service's is `namespace/hostname`, by which workloads name it too.
   *
   * @throws MalformedMessage saying what is wrong with it.
   */
  read(reader: ProtobufReader, name: string): MeshAddress {
    let address: MeshAddress | undefined;
    while (reader.next()) {
      if (reader.field === 1) address = { kind: 'workload', workload: this.#workload(reader, name) };
      else if (reader.field === 2) address = { kind: 'service', service: this.#service(reader, name) };
    }
    if (address === undefined) throw new MalformedMessage('neither a workload nor a service');
    return address;
  }

  /** As `spiffeId`; found by strings that are there, without making the one that is looked for. */
  readonly principal = (trustDomain: string, namespace: string, serviceAccount: string): string => {
    const accounts = inner(inner(this.#principals, trustDomain), namespace);
    let principal = accounts.get(serviceAccount);
    if (principal === undefined) {
      principal = spiffeId(trustDomain, namespace, serviceAccount);
      accounts.set(serviceAccount, principal);
    }
    return principal;
  };

  #workload(reader: ProtobufReader, uid: string): MeshWorkload {
    const { read } = this.#texts;
    let name = '';
    let namespace = '';
    let network = '';
    let trustDomain = '';
    let serviceAccount = '';
    let node = '';
    let canonicalName = '';
    let canonicalRevision = '';
    let workloadName = '';
    let clusterId = '';
    let locality = NOWHERE;
    let hbone = false;
    let hostNetwork = false;
    let addresses: readonly string[] = NO_ADDRESSES;
    let services = this.#noServices;
    const outer = reader.enter();
    while (reader.next()) {
      switch (reader.field) {
        case 1:
          name = reader.text();
          break;
        case 2:
          namespace = reader.range(read);
          break;
        case 3:
          addresses = appended(addresses, ipAddress(reader.bytes()));
          break;
        case 4:
          network = reader.range(read);
          break;
        case 5:
          hbone = reader.number() === HBONE;
          break;
        case 6:
          trustDomain = reader.range(read);
          break;
        case 7:
          serviceAccount = reader.range(read);
          break;
        case 9:
          node = reader.range(read);
          break;
        case 10:
          canonicalName = reader.range(read);
          break;
        case 11:
          canonicalRevision = reader.range(read);
          break;
        case 13:
          workloadName = reader.range(read);
          break;
        case 18:
          clusterId = reader.range(read);
          break;
        case 22:
          services = services.with(reader.range(this.#readServiceEntry));
          break;
        case 24:
          locality = this.#locality(reader);
          break;
        case 25:
          hostNetwork = reader.number() === HOST_NETWORK;
          break;
      }
    }
    reader.leave(outer);
    return {
      uid,
      name,
      namespace,
      serviceAccount,
      trustDomain,
      workloadName,
      canonicalName,
      canonicalRevision,
      addresses,
      network,
      hostNetwork,
      hbone,
      node,
      clusterId,
      ...locality,
      services: services.byKey,
    };
  }

  #locality(reader: ProtobufReader): Locality {
    let region = '';
    let zone = '';
    const outer = reader.enter();
    while (reader.next()) {
      if (reader.field === 1) region = reader.range(this.#texts.read);
      else if (reader.field === 2) zone = reader.range(this.#texts.read);
    }
    reader.leave(outer);
    return { region, zone };
  }

  /** Entry of map<string, PortList>: key = 1, value = 2. */
  readonly #serviceEntry = (bytes: Buffer): ServiceEntry => {
    const reader = new ProtobufReader(bytes);
    const ports = new Map<number, number>();
    let key = '';
    while (reader.next()) {
      if (reader.field === 1) key = reader.range(this.#texts.read);
      else if (reader.field === 2) readPortList(reader, ports);
    }
    return { key, ports: this.#shared(ports) };
  };

  /** The entries of one service are the same in each of its workloads, byte for byte. */
  readonly #readServiceEntry = (bytes: Buffer, start: number, end: number): ServiceEntry =>
    this.#serviceEntries.get(bytes, start, end, this.#serviceEntry);

  /** One map for equal ones: most services have a port or two, and the same. */
  #shared(ports: PortMap): PortMap {
    const key = JSON.stringify([...ports]);
    const known = this.#portMaps.get(key);
    if (known === undefined) this.#portMaps.set(key, ports);
    return known ?? ports;
  }

  #service(reader: ProtobufReader, key: string): ServiceObject {
    const { read } = this.#texts;
    let name = '';
    let namespace = '';
    let hostname = '';
    let canonical = false;
    let vips: readonly Vip[] = NO_VIPS;
    const ports = new Map<number, number>();
    const outer = reader.enter();
    while (reader.next()) {
      switch (reader.field) {
        case 1:
          name = reader.range(read);
          break;
        case 2:
          namespace = reader.range(read);
          break;
        case 3:
          hostname = reader.text();
          break;
        case 4:
          vips = appended(vips, this.#vip(reader));
          break;
        case 5:
          readPort(reader, ports);
          break;
        case 11:
          canonical = reader.boolean();
          break;
      }
    }
    reader.leave(outer);
    if (hostname === '') throw new MalformedMessage('a service without a hostname');
    if (key !== `${namespace}/${hostname}`) throw new MalformedMessage(`it is the service ${namespace}/${hostname}`);
    return {
      key,
      service: { name: name || hostname, namespace: namespace === '' ? undefined : namespace, hostname },
      vips,
      ports: this.#shared(ports),
      canonical,
    };
  }

  /** NetworkAddress { network = 1, address = 2, length = 3 (absent: a single address) }. */
  #vip(reader: ProtobufReader): Vip {
    let network = '';
    let address: string | undefined;
    let length: number | undefined;
    const outer = reader.enter();
    while (reader.next()) {
      if (reader.field === 1) network = reader.range(this.#texts.read);
      else if (reader.field === 2) address = ipAddress(reader.bytes());
      else if (reader.field === 3) length = reader.number();
    }
    reader.leave(outer);
    if (address === undefined) throw new MalformedMessage('a network address without an address');
    const full = fullLength(address);
    if (length === undefined) return { network, address, length: full };
    if (length > full) throw new MalformedMessage(`a prefix of ${length} bits of ${address}`);
    return { network, address: maskAddress(address, length), length };
  }
}

/** PortList { ports = 1 } */
function readPortList(reader: ProtobufReader, ports: Map<number, number>): void {
  const outer = reader.enter();
  while (reader.next()) if (reader.field === 1) readPort(reader, ports);
  reader.leave(outer);
}

/** Port { service_port = 1, target_port = 2 }; a target port 0 is a named one. */
function readPort(reader: ProtobufReader, ports: Map<number, number>): void {
  let servicePort = 0;
  let targetPort = 0;
  const outer = reader.enter();
  while (reader.next()) {
    if (reader.field === 1) servicePort = reader.number();
    else if (reader.field === 2) targetPort = reader.number();
  }
  reader.leave(outer);
  if (servicePort > 65_535 || targetPort > 65_535) {
    throw new MalformedMessage(`the port ${servicePort} → ${targetPort} cannot be`);
  }
  ports.set(servicePort, targetPort);
}

function inner<K, L, V>(maps: Map<K, Map<L, V>>, key: K): Map<L, V> {
  let map = maps.get(key);
  if (map === undefined) {
    map = new Map();
    maps.set(key, map);
  }
  return map;
}

/** Not by `push`, which makes room for seventeen: nearly all have one, and there may be a hundred thousand of them. */
function appended<T>(list: readonly T[], item: T): readonly T[] {
  return list.length === 0 ? [item] : [...list, item];
}

function ipAddress(bytes: Uint8Array): string {
  const address = addressFromBytes(bytes);
  if (address === undefined) throw new MalformedMessage(`an address of ${bytes.length} bytes, 4 or 16 can be`);
  return address;
}
