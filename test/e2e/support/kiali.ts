/**
 * The traffic graph as Kiali asks for it (graph/telemetry/istio/istio.go): three queries a metric, the answers merged,
 * an edge for each set of labels.
 */
import type { Element, Prometheus } from './prometheus.ts';

/** What Kiali groups by; a series that lacks one of them is skipped, but for the two clusters. */
export const GROUP_BY: readonly string[] = [
  'app',
  'source_cluster',
  'source_workload_namespace',
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'destination_cluster',
  'destination_service_namespace',
  'destination_service',
  'destination_service_name',
  'destination_workload_namespace',
  'destination_workload',
  'destination_canonical_service',
  'destination_canonical_revision',
  'response_flags',
];

const REQUIRED = GROUP_BY.filter((label) => !['app', 'source_cluster', 'destination_cluster'].includes(label));

/** `toUnknown`: into the namespace's services from elsewhere, to no known workload. */
export type Question = 'toUnknown' | 'incoming' | 'outgoing';

export const QUESTIONS: readonly Question[] = ['toUnknown', 'incoming', 'outgoing'];

function selector(question: Question, namespace: string): string {
  switch (question) {
    case 'toUnknown':
      return (
        `reporter=~"waypoint|source",source_workload_namespace!="${namespace}",` +
        'destination_workload_namespace="unknown",destination_workload="unknown",' +
        `destination_service=~"^.+\\\\.${namespace}\\\\..+$"`
      );
    case 'incoming':
      return `reporter=~"waypoint|destination",destination_workload_namespace="${namespace}"`;
    case 'outgoing':
      return `reporter=~"waypoint|source",source_workload_namespace="${namespace}"`;
  }
}

export function graphQuery(question: Question, metric: string, namespace: string): string {
  return `sum(rate(${metric}{${selector(question, namespace)}}[30s])) by (${GROUP_BY.join(',')}) > 0`;
}

/** Edges of the graph of some namespaces, as `source → service → workload`; now or as of a time in Unix seconds. */
export async function graphEdges(
  prometheus: Prometheus,
  metric: string,
  namespaces: readonly string[],
  seconds?: number,
): Promise<string[]> {
  const answers: Element[] = [];
  for (const namespace of namespaces) {
    for (const question of QUESTIONS) {
      answers.push(...(await prometheus.query(graphQuery(question, metric, namespace), seconds)));
    }
  }
  return edgesOf(answers);
}

/** The edges that Kiali makes of all answers. Sets of labels are what tells them apart. */
export function edgesOf(answers: readonly Pick<Element, 'labels'>[]): string[] {
  const edges = new Map<string, string>();
  for (const { labels } of answers) {
    edges.set(JSON.stringify(GROUP_BY.map((label) => labels[label])), edgeName(labels));
  }
  return [...edges.values()].sort();
}

function edgeName(labels: Element['labels']): string {
  const missing = REQUIRED.filter((label) => labels[label] === undefined);
  if (missing.length > 0)
    throw new Error(`Kiali would skip this series, it lacks ${missing}: ${JSON.stringify(labels)}`);
  return `${labels.source_workload} → ${labels.destination_service_name} → ${labels.destination_workload}`;
}
