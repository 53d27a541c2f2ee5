/**
 * The expressions of Istio's Grafana dashboards that read istio_tcp_*, with the panels' variables in them. Those that
 * select connection_security_policy="mutual_tls" are left out: plaintext has none.
 */
export interface Panel {
  readonly dashboard: string;
  /** `var $x`: what fills the list from which that variable is chosen. */
  readonly title: string;
  readonly expression: string;
}

export const PANELS: readonly Panel[] = [
  {
    dashboard: 'istio-mesh-dashboard',
    title: 'TCP Workloads',
    expression:
      'label_join(sum by (destination_workload,destination_workload_namespace,destination_service) (rate(istio_tcp_received_bytes_total{reporter=~"source|waypoint"}[$__rate_interval])), "destination_workload_var", ".", "destination_workload", "destination_workload_namespace")',
  },
  {
    dashboard: 'istio-mesh-dashboard',
    title: 'TCP Workloads',
    expression:
      'label_join(sum by (destination_workload,destination_workload_namespace,destination_service) (rate(istio_tcp_sent_bytes_total{reporter=~"source|waypoint"}[$__rate_interval])), "destination_workload_var", ".", "destination_workload", "destination_workload_namespace")',
  },
  {
    dashboard: 'istio-service-dashboard',
    title: 'TCP Received Bytes',
    expression:
      'sum(irate(istio_tcp_received_bytes_total{reporter=~"$qrep", destination_service="$service"}[$__rate_interval]))',
  },
  {
    dashboard: 'istio-service-dashboard',
    title: 'TCP Sent Bytes',
    expression:
      'sum(irate(istio_tcp_sent_bytes_total{reporter=~"$qrep", destination_service="$service"}[$__rate_interval]))',
  },
  {
    dashboard: 'istio-service-dashboard',
    title: 'Bytes Received from Incoming TCP Connection',
    expression:
      'round(sum(irate(istio_tcp_received_bytes_total{reporter=~"$qrep", connection_security_policy!="mutual_tls", destination_service="$service", source_workload=~"$srcwl", source_workload_namespace=~"$srcns"}[$__rate_interval])) by (source_workload, source_workload_namespace), 0.001)',
  },
  {
    dashboard: 'istio-service-dashboard',
    title: 'Bytes Sent to Incoming TCP Connection',
    expression:
      'round(sum(irate(istio_tcp_sent_bytes_total{connection_security_policy!="mutual_tls", reporter=~"$qrep", destination_service="$service", source_workload=~"$srcwl", source_workload_namespace=~"$srcns"}[$__rate_interval])) by (source_workload, source_workload_namespace), 0.001)',
  },
  {
    dashboard: 'istio-service-dashboard',
    title: 'Bytes Received from Incoming TCP Connection',
    expression:
      'round(sum(irate(istio_tcp_received_bytes_total{reporter="destination", connection_security_policy!="mutual_tls", destination_service="$service", destination_workload=~"$dstwl", destination_workload_namespace=~"$dstns"}[$__rate_interval])) by (destination_workload, destination_workload_namespace), 0.001)',
  },
  {
    dashboard: 'istio-service-dashboard',
    title: 'Bytes Sent to Incoming TCP Connection',
    expression:
      'round(sum(irate(istio_tcp_sent_bytes_total{connection_security_policy!="mutual_tls", reporter="destination", destination_service="$service", destination_workload=~"$dstwl", destination_workload_namespace=~"$dstns"}[$__rate_interval])) by (destination_workload, destination_workload_namespace), 0.001)',
  },
  {
    dashboard: 'istio-service-dashboard',
    title: 'var $service',
    expression:
      'sum(istio_requests_total{}) by (destination_service) or sum(istio_tcp_sent_bytes_total{}) by (destination_service)',
  },
  {
    dashboard: 'istio-service-dashboard',
    title: 'var $srccluster',
    expression:
      'sum(istio_requests_total{reporter=~"$qrep", destination_service="$service"}) by (source_cluster) or sum(istio_tcp_sent_bytes_total{reporter=~"$qrep", destination_service="$service"}) by (source_cluster)',
  },
  {
    dashboard: 'istio-service-dashboard',
    title: 'var $srcns',
    expression:
      'sum(istio_requests_total{reporter=~"$qrep", destination_service="$service"}) by (source_workload_namespace) or sum(istio_tcp_sent_bytes_total{reporter=~"$qrep", destination_service="$service"}) by (source_workload_namespace)',
  },
  {
    dashboard: 'istio-service-dashboard',
    title: 'var $srcwl',
    expression:
      'sum(istio_requests_total{reporter=~"$qrep", destination_service="$service", source_workload_namespace=~"$srcns"}) by (source_workload) or sum(istio_tcp_sent_bytes_total{reporter=~"$qrep", destination_service="$service", source_workload_namespace=~"$srcns"}) by (source_workload)',
  },
  {
    dashboard: 'istio-service-dashboard',
    title: 'var $dstcluster',
    expression:
      'sum(istio_requests_total{reporter="destination", destination_service="$service"}) by (destination_cluster) or sum(istio_tcp_sent_bytes_total{reporter="destination", destination_service="$service"}) by (destination_cluster)',
  },
  {
    dashboard: 'istio-service-dashboard',
    title: 'var $dstns',
    expression:
      'sum(istio_requests_total{reporter="destination", destination_service="$service"}) by (destination_workload_namespace) or sum(istio_tcp_sent_bytes_total{reporter="destination", destination_service="$service"}) by (destination_workload_namespace)',
  },
  {
    dashboard: 'istio-service-dashboard',
    title: 'var $dstwl',
    expression:
      'sum(istio_requests_total{reporter="destination", destination_service="$service", destination_cluster=~"$dstcluster", destination_workload_namespace=~"$dstns"}) by (destination_workload) or sum(istio_tcp_sent_bytes_total{reporter="destination", destination_service="$service", destination_cluster=~"$dstcluster", destination_workload_namespace=~"$dstns"}) by (destination_workload)',
  },
  {
    dashboard: 'istio-workload-dashboard',
    title: 'TCP Server Traffic',
    expression:
      'sum(irate(istio_tcp_sent_bytes_total{reporter=~"$qrep", destination_workload_namespace=~"$namespace", destination_workload=~"$workload"}[$__rate_interval])) + sum(irate(istio_tcp_received_bytes_total{reporter=~"$qrep", destination_workload_namespace=~"$namespace", destination_workload=~"$workload"}[$__rate_interval]))',
  },
  {
    dashboard: 'istio-workload-dashboard',
    title: 'TCP Client Traffic',
    expression:
      'sum(irate(istio_tcp_sent_bytes_total{reporter=~"$qrep", source_workload_namespace=~"$namespace", source_workload=~"$workload"}[$__rate_interval])) + sum(irate(istio_tcp_received_bytes_total{reporter=~"$qrep", source_workload_namespace=~"$namespace", source_workload=~"$workload"}[$__rate_interval]))',
  },
  {
    dashboard: 'istio-workload-dashboard',
    title: 'Bytes Received from Incoming TCP Connection',
    expression:
      'round(sum(irate(istio_tcp_received_bytes_total{reporter=~"$qrep", connection_security_policy!="mutual_tls", destination_workload_namespace=~"$namespace", destination_workload=~"$workload", source_workload=~"$srcwl", source_workload_namespace=~"$srcns"}[$__rate_interval])) by (source_workload, source_workload_namespace), 0.001)',
  },
  {
    dashboard: 'istio-workload-dashboard',
    title: 'Bytes Sent to Incoming TCP Connection',
    expression:
      'round(sum(irate(istio_tcp_sent_bytes_total{connection_security_policy!="mutual_tls", reporter=~"$qrep", destination_workload_namespace=~"$namespace", destination_workload=~"$workload", source_workload=~"$srcwl", source_workload_namespace=~"$srcns"}[$__rate_interval])) by (source_workload, source_workload_namespace), 0.001)',
  },
  {
    dashboard: 'istio-workload-dashboard',
    title: 'Bytes Sent on Outgoing TCP Connection',
    expression:
      'round(sum(irate(istio_tcp_received_bytes_total{connection_security_policy!="mutual_tls", reporter="source", source_workload_namespace=~"$namespace", source_workload=~"$workload", destination_service=~"$dstsvc"}[$__rate_interval])) by (destination_service), 0.001)',
  },
  {
    dashboard: 'istio-workload-dashboard',
    title: 'Bytes Received from Outgoing TCP Connection',
    expression:
      'round(sum(irate(istio_tcp_sent_bytes_total{reporter="source", connection_security_policy!="mutual_tls", source_workload_namespace=~"$namespace", source_workload=~"$workload", destination_service=~"$dstsvc"}[$__rate_interval])) by (destination_service), 0.001)',
  },
  {
    dashboard: 'istio-workload-dashboard',
    title: 'var $namespace',
    expression:
      'sum(istio_requests_total) by (destination_workload_namespace) or sum(istio_tcp_sent_bytes_total) by (destination_workload_namespace)',
  },
  {
    dashboard: 'istio-workload-dashboard',
    title: 'var $workload',
    expression:
      '(sum(istio_requests_total{destination_workload_namespace=~"$namespace"}) by (destination_workload) or sum(istio_requests_total{source_workload_namespace=~"$namespace"}) by (source_workload)) or (sum(istio_tcp_sent_bytes_total{destination_workload_namespace=~"$namespace"}) by (destination_workload) or sum(istio_tcp_sent_bytes_total{source_workload_namespace=~"$namespace"}) by (source_workload))',
  },
  {
    dashboard: 'istio-workload-dashboard',
    title: 'var $srcns',
    expression:
      'sum(istio_requests_total{reporter=~"$qrep", destination_workload="$workload", destination_workload_namespace=~"$namespace"}) by (source_workload_namespace) or sum(istio_tcp_sent_bytes_total{reporter=~"$qrep", destination_workload="$workload", destination_workload_namespace=~"$namespace"}) by (source_workload_namespace)',
  },
  {
    dashboard: 'istio-workload-dashboard',
    title: 'var $srcwl',
    expression:
      'sum(istio_requests_total{reporter=~"$qrep", destination_workload="$workload", destination_workload_namespace=~"$namespace", source_workload_namespace=~"$srcns"}) by (source_workload) or sum(istio_tcp_sent_bytes_total{reporter=~"$qrep", destination_workload="$workload", destination_workload_namespace=~"$namespace", source_workload_namespace=~"$srcns"}) by (source_workload)',
  },
  {
    dashboard: 'istio-workload-dashboard',
    title: 'var $dstsvc',
    expression:
      'sum(istio_requests_total{reporter="source", source_workload=~"$workload", source_workload_namespace=~"$namespace"}) by (destination_service) or sum(istio_tcp_sent_bytes_total{reporter="source", source_workload=~"$workload", source_workload_namespace=~"$namespace"}) by (destination_service)',
  },
  {
    dashboard: 'ztunnel-dashboard',
    title: 'Connections',
    expression: 'sum by (pod) (rate(istio_tcp_connections_opened_total{pod=~"ztunnel-.*"}[$__rate_interval]))',
  },
  {
    dashboard: 'ztunnel-dashboard',
    title: 'Connections',
    expression: '-sum by (pod) (rate(istio_tcp_connections_closed_total{pod=~"ztunnel-.*"}[$__rate_interval]))',
  },
  {
    dashboard: 'ztunnel-dashboard',
    title: 'Bytes Transmitted',
    expression: 'sum by (pod) (rate(istio_tcp_sent_bytes_total{pod=~"ztunnel-.*"}[$__rate_interval]))',
  },
  {
    dashboard: 'ztunnel-dashboard',
    title: 'Bytes Transmitted',
    expression: 'sum by (pod) (rate(istio_tcp_received_bytes_total{pod=~"ztunnel-.*"}[$__rate_interval]))',
  },
  {
    dashboard: 'ztunnel-dashboard',
    title: 'Resource Usage',
    expression:
      'sum by (pod) (istio_tcp_connections_opened_total{app="ztunnel"}) - sum by (pod) (istio_tcp_connections_closed_total{app="ztunnel"})',
  },
  {
    dashboard: 'ztunnel-dashboard',
    title: 'Resource Usage',
    expression: 'sum by (pod) (istio_tcp_sockets_open{app="ztunnel"})',
  },
];

/** With the variables chosen. */
export function filledIn({ expression }: Panel, variables: Readonly<Record<string, string>>): string {
  return expression.replace(/\$(\w+)/g, (_, name: string) => {
    const value = variables[name];
    if (value === undefined) throw new Error(`no value for the variable $${name}`);
    return value;
  });
}
