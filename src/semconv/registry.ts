/**
 * The metric registry: every family that leaves the agent, as data. Instruments, the page, OTLP and the table in
 * docs/metrics.md are made from these rows; a family exists nowhere else. Source: telemetry.md §1, §3, §4.
 *
 * `name` is the OTel instrument name; the Prometheus name of a counter has `_total` behind it.
 */
import {
  CONNECT_ERRORS,
  type ConnectError,
  PAIR_HISTOGRAMS,
  type PairCounter,
  type PairHistogram,
} from './pair-fields.ts';

export type MetricType = 'counter' | 'gauge' | 'histogram';

export interface MetricRow {
  readonly name: string;
  readonly type: MetricType;
  /** UCUM; '' for a bare number. */
  readonly unit: string;
  readonly help: string;
  /** Labels of its own, behind the base labels of its set. */
  readonly labels: readonly string[];
  /** Histogram bounds in `unit`, without +Inf. */
  readonly bounds?: readonly number[];
}

/** The 23 labels of Istio's TCP families, then the 4 of locality, in the order of telemetry.md §1. */
export const ISTIO_LABELS = [
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

/** Base labels of the richer set (telemetry.md §3). */
export const TCP_LABELS = [
  'reporter',
  'source_workload',
  'source_canonical_service',
  'source_workload_namespace',
  'destination_service_name',
  'destination_service_namespace',
  'destination_workload',
  'destination_canonical_service',
  'destination_workload_namespace',
] as const;

/**
 * A family counted per pair. `field` is the pair field it sums. `swapForDestination` is the byte orientation of
 * telemetry.md §1: sent and received change places at one of the reporters.
 */
export interface PairMetricRow extends MetricRow {
  readonly set: 'istio' | 'tcp';
  readonly series: readonly {
    /** Values of the row's own labels; for the Istio set of `response_flags`. */
    readonly labels: Readonly<Record<string, string>>;
    /** Field as the source reporter and as the destination reporter counts it. */
    readonly source: PairCounter | ConnectError | PairHistogram;
    readonly destination: PairCounter | ConnectError | PairHistogram;
    /** A series that is absent until it has counted something (failures); the others exist from the first row on. */
    readonly absentAtZero?: boolean;
  }[];
}

const SUCCESS = { response_flags: '-' };
const FAILURE = { response_flags: 'CONNECT' };

const both = (field: PairCounter | ConnectError | PairHistogram) => ({ source: field, destination: field });

export const PAIR_METRICS: readonly PairMetricRow[] = [
  {
    set: 'istio',
    name: 'istio_tcp_connections_opened',
    type: 'counter',
    unit: '{connection}',
    help: 'The total number of TCP connections opened',
    labels: [],
    series: [{ labels: SUCCESS, ...both('opened') }],
  },
  {
    set: 'istio',
    name: 'istio_tcp_connections_closed',
    type: 'counter',
    unit: '{connection}',
    help: 'The total number of TCP connections closed',
    labels: [],
    series: [
      { labels: SUCCESS, ...both('closed') },
      { labels: FAILURE, ...both('failed'), absentAtZero: true },
    ],
  },
  {
    set: 'istio',
    name: 'istio_tcp_received_bytes',
    type: 'counter',
    unit: 'By',
    help: 'The size of total bytes received during request in case of a TCP connection',
    labels: [],
    series: [{ labels: SUCCESS, source: 'sent', destination: 'received' }],
  },
  {
    set: 'istio',
    name: 'istio_tcp_sent_bytes',
    type: 'counter',
    unit: 'By',
    help: 'The size of total bytes sent during response in case of a TCP connection',
    labels: [],
    series: [{ labels: SUCCESS, source: 'received', destination: 'sent' }],
  },
  {
    set: 'istio',
    name: 'istio_tcp_connections_failed',
    type: 'counter',
    unit: '{connection}',
    help: 'The total number of TCP connections that failed to establish (unstable)',
    labels: [],
    series: [{ labels: FAILURE, ...both('failed'), absentAtZero: true }],
  },
  {
    set: 'tcp',
    name: 'tcp_connections_active',
    type: 'gauge',
    unit: '{connection}',
    help: 'Established TCP connections, adopted ones included (unstable)',
    labels: [],
    series: [{ labels: {}, ...both('active') }],
  },
  ...histograms([
    ['tcp_connection_duration_seconds', 'duration', 'Time from the opening of a TCP connection to its close'],
    ['tcp_connect_duration_seconds', 'connect', 'Time from the SYN to the established TCP connection, at the client'],
    ['tcp_smoothed_rtt_seconds', 'smoothed_rtt', 'Smoothed round-trip time at the close of a TCP connection'],
    ['tcp_min_rtt_seconds', 'min_rtt', 'Lowest round-trip time seen, at the close of a TCP connection'],
  ]),
  ...counters([
    ['tcp_segments_sent', 'segments_sent', '{segment}', 'TCP segments sent'],
    ['tcp_segments_received', 'segments_received', '{segment}', 'TCP segments received'],
    ['tcp_retransmitted_segments', 'retransmitted', '{segment}', 'TCP segments sent again'],
    ['tcp_lost_segments', 'lost', '{segment}', 'TCP segments marked as lost'],
  ]),
  {
    set: 'tcp',
    name: 'tcp_resets',
    type: 'counter',
    unit: '{connection}',
    help: 'TCP connections that ended by a reset (unstable)',
    labels: ['direction'],
    series: [
      { labels: { direction: 'sent' }, ...both('resets_sent'), absentAtZero: true },
      { labels: { direction: 'received' }, ...both('resets_received'), absentAtZero: true },
    ],
  },
  {
    set: 'tcp',
    name: 'tcp_connect_failures',
    type: 'counter',
    unit: '{connection}',
    help: 'TCP connections that failed to establish, by reason (unstable)',
    labels: ['error_type'],
    series: CONNECT_ERRORS.map((error) => ({ labels: { error_type: error }, ...both(error), absentAtZero: true })),
  },
];

function histograms(rows: readonly (readonly [string, PairHistogram, string])[]): PairMetricRow[] {
  return rows.map(([name, field, help]) => ({
    set: 'tcp',
    name,
    type: 'histogram',
    unit: 's',
    help: `${help} (unstable)`,
    labels: [],
    bounds: PAIR_HISTOGRAMS.find((h) => h.name === field)!.bounds,
    /* a destination has no connect time, and an idle pair none of them: 18 lines each that say nothing */
    series: [{ labels: {}, ...both(field), absentAtZero: true }],
  }));
}

function counters(rows: readonly (readonly [string, PairCounter, string, string])[]): PairMetricRow[] {
  return rows.map(([name, field, unit, help]) => ({
    set: 'tcp',
    name,
    type: 'counter',
    unit,
    help: `${help} (unstable)`,
    labels: [],
    series: [{ labels: {}, ...both(field) }],
  }));
}

/** Families beside Istio's, summed over all series (ztunnel has them too). */
export const NODE_METRICS = {
  socketsOpen: row(
    'istio_tcp_sockets_open',
    'gauge',
    '{connection}',
    'The current number of open TCP sockets (unstable)',
    ['reporter'],
  ),
  istioBuild: row('istio_build', 'gauge', '', 'Istio component build info', ['component', 'tag']),
} as const;

const SHORT_DURATIONS = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** The agent about itself (telemetry.md §4). */
export const AGENT_METRICS = {
  buildInfo: row('tcpledger_build_info', 'gauge', '', 'Build of this agent', ['version']),
  connectionsOpened: row(
    'tcpledger_connections_opened',
    'counter',
    '{connection}',
    'TCP connections opened on this node, failed ones included',
  ),
  connectionsClosed: row(
    'tcpledger_connections_closed',
    'counter',
    '{connection}',
    'Established TCP connections closed on this node',
  ),
  connectionsFailed: row(
    'tcpledger_connections_failed',
    'counter',
    '{connection}',
    'TCP connections of this node that failed to establish',
  ),
  connectionsAdopted: row(
    'tcpledger_connections_adopted',
    'counter',
    '{connection}',
    'TCP connections that were open before the agent',
  ),
  bytesSent: row('tcpledger_bytes_sent', 'counter', 'By', 'TCP payload sent by the sockets of this node'),
  bytesReceived: row('tcpledger_bytes_received', 'counter', 'By', 'TCP payload received by the sockets of this node'),
  accessLogDropped: row(
    'tcpledger_access_log_dropped',
    'counter',
    '{record}',
    'Access-log records dropped, by reason',
    ['reason'],
  ),
  pairOverflow: row(
    'tcpledger_pair_overflow',
    'counter',
    '{connection}',
    'Connections counted in a coarse or an unattributed slot',
    ['kind'],
  ),
  storageFailures: row('tcpledger_storage_failures', 'counter', '{operation}', 'Failed writes to storage'),
  kernelErrors: row(
    'tcpledger_kernel_errors',
    'counter',
    '{error}',
    'Failed operations of the kernel half, by operation',
    ['operation'],
  ),
  bpfRunSeconds: row(
    'tcpledger_bpf_run_seconds',
    'counter',
    's',
    'Time spent in a BPF program (kernel.bpf_stats_enabled)',
    ['program'],
  ),
  bpfRuns: row('tcpledger_bpf_runs', 'counter', '{run}', 'Runs of a BPF program (kernel.bpf_stats_enabled)', [
    'program',
  ]),
  settleDuration: row(
    'tcpledger_settle_duration_seconds',
    'histogram',
    's',
    'Time of a settle of the open connections',
    [],
    SHORT_DURATIONS,
  ),
  slotsReadDuration: row(
    'tcpledger_slots_read_duration_seconds',
    'histogram',
    's',
    'Time of a sweep of the slots',
    [],
    SHORT_DURATIONS,
  ),
  slotsRecycled: row('tcpledger_slots_recycled', 'counter', '{slot}', 'Slots recycled'),
  mapEntries: row('tcpledger_map_entries', 'gauge', '{entry}', 'Entries in use of a BPF map', ['map']),
  mapCapacity: row('tcpledger_map_capacity', 'gauge', '{entry}', 'Capacity of a BPF map', ['map']),
  ringFill: row(
    'tcpledger_ring_fill_ratio',
    'gauge',
    '1',
    'Share of the access-log ring waiting to be read at the last drain',
  ),
  identityObjects: row('tcpledger_identity_objects', 'gauge', '{object}', 'Objects that an identity source knows', [
    'source',
    'kind',
  ]),
  identityLookups: row('tcpledger_identity_lookups', 'counter', '{lookup}', 'Ends looked up, by result', ['result']),
  identitySynced: row('tcpledger_identity_synced', 'gauge', '1', 'Whether an identity source has its state', [
    'source',
  ]),
  identityConntrack: row(
    'tcpledger_identity_conntrack',
    'counter',
    '{lookup}',
    'Connections asked about in connection tracking, for the backend of a service that they met, by result',
    ['result'],
  ),
  identityLists: row('tcpledger_identity_lists', 'counter', '{list}', 'Whole states an identity source has read', [
    'source',
    'kind',
  ]),
  identityWatches: row('tcpledger_identity_watches', 'counter', '{watch}', 'Watches an identity source has begun', [
    'source',
    'kind',
  ]),
  identityFailures: row(
    'tcpledger_identity_failures',
    'counter',
    '{failure}',
    'Requests and streams of an identity source that failed or ended, by reason',
    ['source', 'reason'],
  ),
  identityMalformed: row(
    'tcpledger_identity_malformed_objects',
    'counter',
    '{object}',
    'Objects an identity source could not read',
    ['source', 'kind'],
  ),
  identityConnected: row(
    'tcpledger_identity_connected',
    'gauge',
    '1',
    'Whether an identity source has a working stream from its control plane',
    ['source'],
  ),
  identityReconnects: row(
    'tcpledger_identity_reconnects',
    'counter',
    '{attempt}',
    'Attempts of an identity source to get a stream after the first',
    ['source'],
  ),
  identityNacks: row(
    'tcpledger_identity_nacks',
    'counter',
    '{message}',
    'Messages of a control plane that were refused, whole or in part',
    ['source'],
  ),
  identityLastMessageAge: row(
    'tcpledger_identity_last_message_age_seconds',
    'gauge',
    's',
    'Time since the last message of a control plane',
    ['source'],
  ),
  exportSent: row('tcpledger_export_sent_records', 'counter', '{record}', 'Records and points delivered', [
    'exporter',
    'signal',
  ]),
  exportFailed: row(
    'tcpledger_export_failed_records',
    'counter',
    '{record}',
    'Records and points whose delivery failed for good',
    ['exporter', 'signal'],
  ),
  exportDropped: row(
    'tcpledger_export_dropped_records',
    'counter',
    '{record}',
    'Records dropped before delivery (full queue, shutdown)',
    ['exporter', 'signal'],
  ),
  exportQueueSize: row('tcpledger_export_queue_size', 'gauge', '{batch}', 'Batches waiting in an exporter', [
    'exporter',
  ]),
  exportQueueCapacity: row('tcpledger_export_queue_capacity', 'gauge', '{batch}', 'Batches an exporter may hold', [
    'exporter',
  ]),
  seriesCount: row('tcpledger_series', 'gauge', '{series}', 'Rows of a series table', ['set']),
  eventLoopLag: row(
    'nodejs_eventloop_lag_seconds',
    'gauge',
    's',
    'Longest delay of the event loop since the last collection',
  ),
  processCpuSeconds: row('process_cpu_seconds', 'counter', 's', 'User and system CPU time spent'),
  processResidentMemory: row('process_resident_memory_bytes', 'gauge', 'By', 'Resident memory'),
  processStartTime: row('process_start_time_seconds', 'gauge', 's', 'Start of the process since the epoch'),
  processOpenFds: row('process_open_fds', 'gauge', '{file}', 'Open file descriptors'),
} as const;

function row(
  name: string,
  type: MetricType,
  unit: string,
  help: string,
  labels: readonly string[] = [],
  bounds?: readonly number[],
): MetricRow {
  const text = /^(istio_build|istio_tcp|process_|nodejs_)/.test(name) ? help : `${help} (unstable)`;
  return { name, type, unit, help: text, labels, ...(bounds ? { bounds } : {}) };
}
