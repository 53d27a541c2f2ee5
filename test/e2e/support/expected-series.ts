/** The series that the mesh's traffic has to have, label for label, by what the source of names can know. */
import { EDGES, type Edge, fqdn, type MeshPod, NAMESPACE, PODS, SERVICES } from './mesh.ts';
import type { Account, Counts } from './mesh-traffic.ts';
import type { Names } from './names.ts';

export type Labels = Readonly<Record<string, string>>;

export const FAMILIES: Readonly<Record<string, keyof Counts>> = {
  istio_tcp_connections_opened_total: 'opened',
  istio_tcp_connections_closed_total: 'closed',
  istio_tcp_received_bytes_total: 'received',
  istio_tcp_sent_bytes_total: 'sent',
};

/** One label set, and the edges that have it: several where their clients cannot be told apart. */
export interface ExpectedSeries {
  readonly labels: Labels;
  readonly edges: readonly Edge[];
}

/** The last byte that a socket has received is counted when it closes: until then it may be the end of the stream. */
export function expectedValue({ labels, edges }: ExpectedSeries, count: keyof Counts, account: Account): number {
  const heldBack = count === (labels.reporter === 'source' ? 'sent' : 'received');
  return edges.reduce((sum, edge) => {
    const counts = account.get(edge)!;
    return sum + counts[count] - (heldBack ? counts.opened - counts.closed : 0);
  }, 0);
}

/** What the rest of the machine has: neither end is in the mesh. */
export const isStranger = ({ source_workload, destination_workload, destination_service }: Labels): boolean =>
  [source_workload, destination_workload, destination_service].every((value) => value === 'unknown');

/** Of every family, those of strangers left out. */
export function expectedSeries(names: Names): ExpectedSeries[] {
  const found = new Map<string, { labels: Labels; edges: Edge[] }>();
  for (const edge of EDGES) {
    for (const reporter of ['source', 'destination']) {
      const labels = labelsOf(edge, reporter, names);
      if (isStranger(labels)) continue;
      const key = JSON.stringify(labels);
      found.set(key, { labels, edges: [...(found.get(key)?.edges ?? []), edge] });
    }
  }
  return [...found.values()];
}

/** The pods of the workload, if the source knows them. */
export function knownPods(workload: string, names: Names): readonly MeshPod[] {
  const isTold = ({ service }: MeshPod) => SERVICES.some(({ name, vip }) => name === service && vip !== undefined);
  return PODS.filter((pod) => pod.workload === workload && (names.workloads === 'all' || isTold(pod)));
}

function labelsOf({ client, service, workload }: Edge, reporter: string, names: Names): Labels {
  const [source, destination] = [knownPods(client, names)[0], knownPods(workload, names)[0]];
  // A server that is nobody has no service either; only its client knows what it dialled.
  const named = reporter === 'source' || workload !== 'unknown';
  const serviceLabels = named
    ? {
        destination_service: fqdn(service),
        destination_service_name: service,
        destination_service_namespace: NAMESPACE,
      }
    : {
        destination_service: 'unknown',
        destination_service_name: 'unknown',
        destination_service_namespace: 'unknown',
      };
  return {
    reporter,
    ...endLabels('source', source, names),
    // Nothing proves who a client is that sends plaintext.
    source_principal: 'unknown',
    ...serviceLabels,
    ...endLabels('destination', destination, names),
    destination_principal: destination
      ? `spiffe://cluster.local/ns/${destination.namespace}/sa/${destination.workload}`
      : 'unknown',
    request_protocol: 'tcp',
    response_flags: '-',
    connection_security_policy: 'unknown',
  };
}

function endLabels(end: 'source' | 'destination', pod: MeshPod | undefined, { locality }: Names): Labels {
  const values = {
    workload: pod?.workload,
    canonical_service: pod?.workload,
    canonical_revision: pod && 'v1',
    workload_namespace: pod?.namespace,
    app: pod?.workload,
    version: pod && 'v1',
    cluster: pod && 'Kubernetes',
    region: pod && locality?.region,
    zone: pod && locality?.zone,
  };
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`${end}_${name}`, value ?? 'unknown']));
}
