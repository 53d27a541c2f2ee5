/**
 * ztunnel's local-XDS layout (identity.md), one item at a time: YAML nodes in, checked values out. Keys of that layout
 * that nothing here needs are read over, and so are unknown ones, since newer releases add some; a key that looks like a
 * misspelt one of ours is a mistake.
 */
import { isMap, isScalar, type Node } from 'yaml';
import { nearest } from '../../collector/schema/nearest.ts';
import { boolean, listOf, oneOf, optional, type Report, type Schema, string } from '../../collector/schema.ts';
import { canonicalAddress, fullLength, maskAddress } from '../../semconv/address.ts';
import type { MeshWorkload } from '../mesh-workload.ts';
import type { PortMap, ServiceKey, ServiceObject, Vip } from '../objects.ts';

export interface FileWorkload extends MeshWorkload {
  /** Our extension: processes in these cgroups, and in those below, are this workload's. */
  readonly cgroupPaths: readonly string[];
  /** Our extension: pods that the node's cgroups call by these UIDs are this workload's. */
  readonly podUids: readonly string[];
}

const text = (): Schema<string | undefined> => optional(string({ empty: true }));
const required = (): Schema<string> => string();

/** Keys of ztunnel's layout that name nobody. */
const WORKLOAD_READ_OVER = [
  'waypoint',
  'networkGateway',
  'hostname',
  'nativeTunnel',
  'applicationTunnel',
  'authorizationPolicies',
  'status',
  'capacity',
  'workloadType',
];
const SERVICE_READ_OVER = [
  'appProtocols',
  'endpoints',
  'subjectAltNames',
  'waypoint',
  'loadBalancer',
  'loadBalancing',
  'ipFamilies',
  'visibility',
];

/** As a cgroup path's pod reads once its separators are dashes (cgroup-path.ts). */
const POD_UID = /^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32})$/;

const localitySchema = lenient({ region: text(), zone: text(), subzone: text() }, []);

const workloadSchema = lenient(
  {
    uid: text(),
    name: required(),
    namespace: text(),
    serviceAccount: text(),
    trustDomain: text(),
    workloadName: text(),
    canonicalName: text(),
    canonicalRevision: text(),
    workloadIps: optional(listOf(address())),
    network: text(),
    networkMode: optional(oneOf(['Standard', 'HostNetwork'])),
    protocol: optional(oneOf(['HBONE', 'TCP', 'LegacyIstioMtls'])),
    node: text(),
    clusterId: text(),
    locality: localitySchema,
    services: optional(mapOf(serviceKey, ports())),
    cgroupPaths: optional(
      listOf(string({ pattern: /^\//, expects: 'a path in the cgroup v2 hierarchy, as /system.slice/nginx.service' })),
    ),
    podUids: optional(
      listOf(
        string({
          pattern: POD_UID,
          expects: 'the UID of a pod, or the hash of a static one, in lower-case hex digits',
        }),
      ),
    ),
  },
  WORKLOAD_READ_OVER,
);

const serviceSchema = lenient(
  {
    name: required(),
    namespace: required(),
    hostname: required(),
    vips: optional(listOf(vip())),
    ports: optional(ports()),
    canonical: optional(boolean()),
  },
  SERVICE_READ_OVER,
);

export function readWorkload(node: Node | undefined, path: string, report: Report): FileWorkload {
  const raw = workloadSchema.parse(node, path, report);
  const { name, namespace = '' } = raw;
  return {
    uid: raw.uid || `file/${namespace}/${name}`,
    name,
    namespace,
    serviceAccount: raw.serviceAccount ?? '',
    trustDomain: raw.trustDomain ?? '',
    workloadName: raw.workloadName ?? '',
    canonicalName: raw.canonicalName ?? '',
    canonicalRevision: raw.canonicalRevision ?? '',
    addresses: raw.workloadIps ?? [],
    network: raw.network ?? '',
    hostNetwork: raw.networkMode === 'HostNetwork',
    hbone: raw.protocol === 'HBONE',
    node: raw.node ?? '',
    clusterId: raw.clusterId ?? '',
    region: raw.locality.region ?? '',
    zone: raw.locality.zone ?? '',
    services: raw.services ?? new Map(),
    cgroupPaths: raw.cgroupPaths ?? [],
    podUids: raw.podUids ?? [],
  };
}

export function readService(node: Node | undefined, path: string, report: Report): ServiceObject {
  const { name, namespace, hostname, vips, ports, canonical } = serviceSchema.parse(node, path, report);
  return {
    key: `${namespace}/${hostname}`,
    service: { name, namespace, hostname },
    vips: vips ?? [],
    ports: ports ?? new Map(),
    canonical: canonical ?? false,
  };
}

type Fields = Readonly<Record<string, Schema<unknown>>>;
type Values<F extends Fields> = { readonly [K in keyof F]: F[K] extends Schema<infer T> ? T : never };

/** A map whose other keys are read over, unless one looks like a misspelt key of `fields`. */
function lenient<F extends Fields>(fields: F, readOver: readonly string[]): Schema<Values<F>> {
  const keys = Object.keys(fields);
  const expects = `a map with the keys ${keys.join(', ')}`;
  return {
    expects,
    parse(node, path, report) {
      if (node !== undefined && !isMap(node)) report(path, node, `found something else. Allowed: ${expects}.`);
      const given = new Map<string, Node | undefined>();
      for (const { key, value } of isMap(node) ? node.items : []) {
        const name = String((key as { value?: unknown }).value);
        given.set(name, (value ?? undefined) as Node | undefined);
        if (keys.includes(name) || readOver.includes(name)) continue;
        const meant = nearest(name, [...keys, ...readOver]);
        if (meant) report(`${path}.${name}`, key as Node, `unknown key "${name}". Did you mean "${meant}"?`);
      }
      if (node !== undefined && !isMap(node)) return placeholder(fields);
      const within: Report = (at, where, message) => report(at, where ?? node, message);
      const entries = keys.map((key) => [key, fields[key]!.parse(given.get(key), `${path}.${key}`, within)]);
      return Object.fromEntries(entries) as Values<F>;
    },
  };
}

/** What a section of the wrong type stands for: its mistake is told, those of its keys would be noise. */
function placeholder<F extends Fields>(fields: F): Values<F> {
  const entries = Object.entries(fields).map(([key, field]) => [key, field.parse(undefined, '', () => {})]);
  return Object.fromEntries(entries) as Values<F>;
}

/** Any spelling of an address; the value is the canonical one. */
function address(): Schema<string> {
  return converted('an IPv4 or IPv6 address', canonicalAddress, '');
}

/** `network/ip`, `network/ip/prefix length`, or without a network (which is the empty one): `ip`, `ip/prefix length`. */
function vip(): Schema<Vip> {
  const read = (given: string): Vip | undefined => {
    const parts = given.split('/');
    const bare = canonicalAddress(parts[0]!) !== undefined && (parts.length === 1 || /^\d+$/.test(parts[1]!));
    const [network = '', ip = '', length] = bare ? ['', ...parts] : parts;
    const canonical = canonicalAddress(ip);
    if (canonical === undefined || parts.length > 3) return undefined;
    const bits = length === undefined ? fullLength(canonical) : Number(length);
    if (!Number.isInteger(bits) || bits < 0 || bits > fullLength(canonical)) return undefined;
    return { network, address: maskAddress(canonical, bits), length: bits };
  };
  return converted('network/ip such as "default/10.96.0.10", the network may be empty', read, {
    network: '',
    address: '',
    length: 0,
  });
}

function converted<T>(expects: string, convert: (given: string) => T | undefined, otherwise: T): Schema<T> {
  const inner = string({ expects });
  return {
    expects,
    parse(node, path, report) {
      let wrong = false;
      const given = inner.parse(node, path, (...mistake) => {
        wrong = true;
        report(...mistake);
      });
      if (wrong) return otherwise;
      const value = convert(given);
      if (value === undefined) report(path, node, `found ${JSON.stringify(given)}. Allowed: ${expects}.`);
      return value ?? otherwise;
    },
  };
}

function serviceKey(key: string): ServiceKey | undefined {
  return /^[^/]+\/[^/]+$/.test(key) ? key : undefined;
}
serviceKey.expects = 'namespace/hostname';

function port(text: string): number | undefined {
  const number = Number(text);
  return /^\d+$/.test(text) && number <= 65_535 ? number : undefined;
}
port.expects = 'a port from 1 to 65535';

/** Service port → target port; 0 as a target: a named port, each workload has its own. */
function ports(): Schema<PortMap> {
  return mapOf(port, {
    expects: 'a port from 0 to 65535',
    parse(node, path, report) {
      const value = isScalar(node) ? port(String(node.value)) : undefined;
      if (value === undefined) report(path, node, 'found no port. Allowed: a whole number from 0 to 65535.');
      return value ?? 0;
    },
  });
}

interface KeyReader<K> {
  (key: string): K | undefined;
  readonly expects: string;
}

function mapOf<K, V>(readKey: KeyReader<K>, value: Schema<V>): Schema<ReadonlyMap<K, V>> {
  const expects = `a map from ${readKey.expects} to ${value.expects}`;
  return {
    expects,
    parse(node, path, report) {
      const result = new Map<K, V>();
      if (!isMap(node)) {
        report(path, node, `found no map. Allowed: ${expects}.`);
        return result;
      }
      for (const pair of node.items) {
        const name = String((pair.key as { value?: unknown }).value);
        const key = readKey(name);
        if (key === undefined)
          report(`${path}.${name}`, pair.key as Node, `found the key "${name}". Allowed: ${readKey.expects}.`);
        else result.set(key, value.parse((pair.value ?? undefined) as Node | undefined, `${path}.${name}`, report));
      }
      return result;
    },
  };
}
