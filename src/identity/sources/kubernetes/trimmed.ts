/**
 * The few fields of a Kubernetes object that naming needs. An object is trimmed as soon as it is decoded, so that the
 * rest of it (some 8 KiB of a pod) is garbage at once.
 */
import { canonicalAddress } from '../../../semconv/address.ts';
import { asList, asPort, asRecord, asText, asTexts, type JsonRecord, textAt } from './json.ts';
import { shared } from './shared-text.ts';
import { type Naming, podNaming } from './workload-name.ts';

export interface Trimmed {
  readonly uid: string;
  readonly name: string;
  /** '' for what is in none. */
  readonly namespace: string;
}

export interface Pod extends Trimmed, Naming {
  readonly node: string;
  readonly serviceAccount: string;
  /** Canonical. */
  readonly addresses: readonly string[];
  readonly hostNetwork: boolean;
  /** Succeeded or Failed: no process of it runs any more, its address may be another's. */
  readonly finished: boolean;
  /** Further uids by which kubelet may have named its control group: the config hash of a static pod. */
  readonly hashes: readonly string[];
  /** Whether it says of itself that it speaks HBONE; undefined: its namespace decides. */
  readonly hbone: boolean | undefined;
}

export interface ServicePort {
  /** '' for the only port of a service. */
  readonly name: string;
  readonly port: number;
  /** 0 where each endpoint has its own: a named port, or a service without a selector. */
  readonly target: number;
}

export interface KubeService extends Trimmed {
  readonly clusterIps: readonly string[];
  /** Of load balancers, and external ones. */
  readonly outerIps: readonly string[];
  readonly ports: readonly ServicePort[];
}

export interface EndpointSlice extends Trimmed {
  /** The service's name. */
  readonly service: string;
  /** Port name → number. */
  readonly ports: ReadonlyMap<string, number>;
  /** Uids of pods; the addresses of endpoints that are no pods. */
  readonly endpoints: readonly string[];
}

export interface KubeNode extends Trimmed {
  readonly region: string | undefined;
  readonly zone: string | undefined;
  readonly addresses: readonly string[];
}

export interface Namespace extends Trimmed {
  /** Its pods are in Istio's ambient mesh unless they say otherwise. */
  readonly ambient: boolean;
}

/** undefined: not an object of this kind at all. */
export type Trim<T extends Trimmed> = (raw: JsonRecord) => T | undefined;

const NO_TEXTS: readonly string[] = [];

interface Names {
  readonly metadata: JsonRecord;
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
}

function namesOf(raw: JsonRecord): Names | undefined {
  const metadata = asRecord(raw.metadata);
  const uid = asText(metadata?.uid);
  const name = asText(metadata?.name);
  if (!metadata || !uid || !name) return undefined;
  return { metadata, uid, name, namespace: shared(asText(metadata.namespace) ?? '') };
}

/** A config hash as kubelet makes it. Anything else, a real uid above all, could take another pod's name. */
const CONFIG_HASH = /^[0-9a-f]{32}$/;

export const trimPod: Trim<Pod> = (raw) => {
  const names = namesOf(raw);
  if (!names) return undefined;
  const { metadata, uid, name, namespace } = names;
  const spec = asRecord(raw.spec);
  const status = asRecord(raw.status);
  const phase = asText(status?.phase);
  return {
    uid,
    name,
    namespace,
    ...podNaming(name, metadata),
    node: shared(asText(spec?.nodeName) ?? ''),
    serviceAccount: shared(asText(spec?.serviceAccountName) || 'default'),
    addresses: addressesOf(
      asText(status?.podIP),
      asList(status?.podIPs).map((item) => asText(asRecord(item)?.ip)),
    ),
    hostNetwork: spec?.hostNetwork === true,
    finished: phase === 'Succeeded' || phase === 'Failed',
    hashes: configHashes(asRecord(metadata.annotations)),
    hbone: hboneOf(asRecord(metadata.annotations), asRecord(metadata.labels)),
  };
};

function configHashes(annotations: JsonRecord | undefined): readonly string[] {
  const hashes = ['kubernetes.io/config.hash', 'kubernetes.io/config.mirror']
    .map((key) => textAt(annotations, key)?.toLowerCase() ?? '')
    .filter((hash) => CONFIG_HASH.test(hash));
  return hashes.length === 0 ? NO_TEXTS : [...new Set(hashes)];
}

/** What the mesh's CNI wrote, then what the pod was labelled with, as istiod reads them. */
function hboneOf(annotations: JsonRecord | undefined, labels: JsonRecord | undefined): boolean | undefined {
  const redirection = textAt(annotations, 'ambient.istio.io/redirection');
  if (redirection !== undefined) return redirection === 'enabled';
  if (textAt(labels, 'networking.istio.io/tunnel')?.split(',').includes('http')) return true;
  const mode = textAt(labels, 'istio.io/dataplane-mode');
  return mode === undefined ? undefined : mode === 'ambient';
}

export const trimService: Trim<KubeService> = (raw) => {
  const names = namesOf(raw);
  if (!names) return undefined;
  const { uid, name, namespace } = names;
  const spec = asRecord(raw.spec);
  const ingress = asList(asRecord(asRecord(raw.status)?.loadBalancer)?.ingress);
  const selects = Object.keys(asRecord(spec?.selector) ?? {}).length > 0;
  return {
    uid,
    name,
    namespace,
    clusterIps: addressesOf(asText(spec?.clusterIP), asTexts(spec?.clusterIPs)),
    outerIps: addressesOf(undefined, [
      ...asTexts(spec?.externalIPs),
      ...ingress.map((item) => asText(asRecord(item)?.ip)),
    ]),
    ports: asList(spec?.ports).flatMap((item) => servicePort(asRecord(item), selects)),
  };
};

function servicePort(raw: JsonRecord | undefined, selects: boolean): ServicePort[] {
  const port = asPort(raw?.port);
  if (!raw || port === undefined || (asText(raw.protocol) ?? 'TCP') !== 'TCP') return [];
  const sameNumber = raw.targetPort === undefined || raw.targetPort === 0 ? port : 0;
  const target = selects ? (asPort(raw.targetPort) ?? sameNumber) : 0;
  return [{ name: asText(raw.name) ?? '', port, target }];
}

export const trimEndpointSlice: Trim<EndpointSlice> = (raw) => {
  const names = namesOf(raw);
  if (!names) return undefined;
  const { metadata, uid, name, namespace } = names;
  const ports = new Map<string, number>();
  for (const item of asList(raw.ports)) {
    const port = asRecord(item);
    const number = asPort(port?.port);
    if (number !== undefined && (asText(port?.protocol) ?? 'TCP') === 'TCP')
      ports.set(asText(port?.name) ?? '', number);
  }
  return {
    uid,
    name,
    namespace,
    service: textAt(asRecord(metadata.labels), 'kubernetes.io/service-name') ?? '',
    ports,
    endpoints: [...new Set(asList(raw.endpoints).flatMap((item) => endpointKeys(asRecord(item))))],
  };
};

function endpointKeys(endpoint: JsonRecord | undefined): readonly string[] {
  const target = asRecord(endpoint?.targetRef);
  const uid = target?.kind === 'Pod' ? asText(target.uid) : undefined;
  return uid ? [uid] : addressesOf(undefined, asTexts(endpoint?.addresses));
}

export const trimNode: Trim<KubeNode> = (raw) => {
  const names = namesOf(raw);
  if (!names) return undefined;
  const { metadata, uid, name, namespace } = names;
  const labels = asRecord(metadata.labels);
  const addresses = asList(asRecord(raw.status)?.addresses).map((item) => asText(asRecord(item)?.address));
  return {
    uid,
    name,
    namespace,
    region: textAt(labels, 'topology.kubernetes.io/region') || undefined,
    zone: textAt(labels, 'topology.kubernetes.io/zone') || undefined,
    addresses: addressesOf(undefined, addresses),
  };
};

export const trimNamespace: Trim<Namespace> = (raw) => {
  const names = namesOf(raw);
  if (!names) return undefined;
  const mode = textAt(asRecord(names.metadata.labels), 'istio.io/dataplane-mode');
  const { uid, name, namespace } = names;
  return { uid, name, namespace, ambient: mode === 'ambient' };
};

/** Canonical, each once, what is no address left out (`None`, host names). */
function addressesOf(first: string | undefined, others: readonly (string | undefined)[]): readonly string[] {
  const canonical = [first, ...others].flatMap((text) => (text ? (canonicalAddress(text) ?? []) : []));
  return canonical.length === 0 ? NO_TEXTS : [...new Set(canonical)];
}
