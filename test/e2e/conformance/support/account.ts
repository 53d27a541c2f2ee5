/** What the page says of some series. */
import type { Page } from '../../../kernel/support/prometheus-text.ts';

type Labels = Readonly<Record<string, string>>;

export const FAMILIES = [
  'istio_tcp_connections_opened_total',
  'istio_tcp_connections_closed_total',
  'istio_tcp_received_bytes_total',
  'istio_tcp_sent_bytes_total',
] as const;

/** Opened, closed, received and sent: sums over the series with these labels. */
export const account = (page: Page, labels: Labels): number[] => FAMILIES.map((family) => page.sum(family, labels));

/** Label sets of a family, without the reporter; by reporter. */
export function labelSets(page: Page, labels: Labels, family: string = FAMILIES[0]): Record<string, Labels[]> {
  const sets: Record<string, Labels[]> = {};
  for (const { labels: all } of page.select(family, labels)) {
    const { reporter, ...rest } = all;
    sets[reporter!] ??= [];
    sets[reporter!]!.push(rest);
  }
  return sets;
}

/** All labels of the Istio families, in their order. */
export const LABELS = [
  'reporter',
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'source_cluster',
  'destination_service',
  'destination_service_namespace',
  'destination_service_name',
  'destination_workload',
  'destination_canonical_service',
  'destination_canonical_revision',
  'destination_workload_namespace',
  'destination_principal',
  'destination_app',
  'destination_version',
  'destination_cluster',
  'request_protocol',
  'response_flags',
  'connection_security_policy',
  'source_region',
  'source_zone',
  'destination_region',
  'destination_zone',
] as const;
