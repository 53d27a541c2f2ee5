/**
 * The access log's names and rules (telemetry.md §2): which fields a connection record has, in which order, with which
 * values. First ztunnel's fields, then the OpenTelemetry attributes beside them. Printers and encoders are sinks: they
 * get one call per field and decide what it looks like.
 *
 * Fields come in two kinds, so that the first can be rendered once and kept:
 *   of the pair        sourceFields, destinationFields, pairAttributes: the same for every record with the same Peers;
 *                      flowAttributes: the same as long as both addresses and the serving port are
 *   of the connection  addresses, outcomeFields, connectionAttributes
 */
import { connectErrorText } from './connect-error.ts';

/** Receives fields in order. `int` values are whole and exact (below 2^53). Unknown fields are never passed. */
export interface FieldSink {
  string(name: string, value: string): void;
  int(name: string, value: number): void;
  double(name: string, value: number): void;
}

/** One end with a name, as far as the log needs it (identity's Workload). */
export interface LogWorkload {
  readonly namespace: string | undefined;
  readonly podName: string | undefined;
  readonly podUid: string | undefined;
  readonly containerId: string | undefined;
  readonly canonicalService: string | undefined;
  readonly principal: string | undefined;
  readonly cluster: string | undefined;
}

/** identity's Peers. */
export interface LogPeers {
  readonly reporter: 'source' | 'destination';
  readonly source: LogWorkload | undefined;
  readonly destination: LogWorkload | undefined;
  readonly service: { readonly hostname: string } | undefined;
  readonly securityPolicy: 'mutual_tls' | 'unknown';
  /** Of the local end. */
  readonly container?: { readonly podUid: string | undefined; readonly containerId: string | undefined } | undefined;
}

export type LogEvent = 'open' | 'close' | 'fail';

/** The receiver's ConnectionRecord: times in nanoseconds of one clock, bytes and addresses in the local view. */
export interface LogConnection {
  readonly event: LogEvent;
  readonly connectionId: number | string;
  readonly role: 'source' | 'destination';
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Where a load balancer on the socket replaced it by `remotePort`; else 0. */
  readonly dialledPort: number;
  /** `ip:port` asked for inside an HBONE tunnel. A socket does not show it, so only records from elsewhere have it. */
  readonly hboneAddress?: string;
  readonly adopted: boolean;
  readonly timeNs: number;
  readonly openedNs: number;
  readonly establishedNs: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly closeReason: string | undefined;
  readonly errno: number;
  readonly errorType: string | undefined;
  readonly smoothedRttUs: number;
  readonly minRttUs: number;
  readonly retransmits: number;
  readonly lost: number;
  readonly segmentsSent: number;
  readonly segmentsReceived: number;
  readonly pid: number;
  readonly executable: string;
}

export interface LogEventRow {
  readonly eventName: string;
  readonly message: string;
  /** ztunnel's word for the severity. */
  readonly level: 'info' | 'error' | 'debug';
  readonly severityNumber: number;
  readonly severityText: string;
}

export const LOG_EVENTS: Readonly<Record<LogEvent, LogEventRow>> = {
  open: {
    eventName: 'tcpledger.tcp.connection.open',
    message: 'connection opened',
    level: 'debug',
    severityNumber: 5,
    severityText: 'DEBUG',
  },
  close: {
    eventName: 'tcpledger.tcp.connection.close',
    message: 'connection complete',
    level: 'info',
    severityNumber: 9,
    severityText: 'INFO',
  },
  fail: {
    eventName: 'tcpledger.tcp.connection.fail',
    message: 'connection complete',
    level: 'error',
    severityNumber: 17,
    severityText: 'ERROR',
  },
};

/** Fields that the text format leaves unquoted. */
export const ADDRESS_FIELDS: ReadonlySet<string> = new Set(['src.addr', 'dst.addr', 'dst.hbone_addr']);

export const CONNECTION_ID = 'tcpledger.connection.id';

/** Unique for ever: the boot and the sequence number within it. */
export const connectionId = (bootId: string, record: Pick<LogConnection, 'connectionId'>): string =>
  connectionIdStem(bootId) + record.connectionId;

/** The id up to its sequence number. */
export const connectionIdStem = (bootId: string): string => `${bootId}-`;

/** Every ztunnel field of a record, in ztunnel's order. */
export function accessLogFields(record: LogConnection, peers: LogPeers, sink: FieldSink): void {
  optional(sink, 'src.addr', clientAddress(record));
  sourceFields(peers, sink);
  optional(sink, 'dst.addr', serverAddress(record));
  optional(sink, 'dst.hbone_addr', record.hboneAddress);
  destinationFields(peers, sink);
  outcomeFields(record, sink);
}

/** `src.*` behind `src.addr`. */
export function sourceFields(peers: LogPeers, sink: FieldSink): void {
  const { source } = peers;
  optional(sink, 'src.workload', source?.podName ?? source?.canonicalService);
  optional(sink, 'src.namespace', source?.namespace);
  if (peers.securityPolicy === 'mutual_tls') optional(sink, 'src.identity', source?.principal);
  optional(sink, 'src.cluster', source?.cluster);
}

/** `dst.*` behind `dst.addr` and `dst.hbone_addr`, then `direction`. */
export function destinationFields(peers: LogPeers, sink: FieldSink): void {
  const { destination } = peers;
  optional(sink, 'dst.service', peers.service?.hostname);
  optional(sink, 'dst.workload', destination?.podName ?? destination?.canonicalService);
  optional(sink, 'dst.namespace', destination?.namespace);
  if (peers.securityPolicy === 'mutual_tls') optional(sink, 'dst.identity', destination?.principal);
  optional(sink, 'dst.cluster', destination?.cluster);
  sink.string('direction', peers.reporter === 'source' ? 'outbound' : 'inbound');
}

/** What became of it: `bytes_sent`, `bytes_recv`, `duration`, `error`. Nothing yet when it has only opened. */
export function outcomeFields(record: LogConnection, sink: FieldSink): void {
  if (record.event === 'open') return;
  sink.int('bytes_sent', record.bytesSent);
  sink.int('bytes_recv', record.bytesReceived);
  sink.string('duration', `${Math.floor(durationNs(record) / 1e6)}ms`);
  if (record.event === 'fail') sink.string('error', connectErrorText(record.errno, record.errorType));
}

/** The OpenTelemetry attributes that name the pair. `k8s.*` and `container.id` are the local end's. */
export function pairAttributes(peers: LogPeers, sink: FieldSink): void {
  const local = peers.reporter === 'source' ? peers.source : peers.destination;
  sink.string('network.transport', 'tcp');
  optional(sink, 'server.address', peers.service?.hostname);
  optional(sink, 'k8s.namespace.name', local?.namespace);
  optional(sink, 'k8s.pod.name', local?.podName);
  // The cluster's UID of a static pod is another than the one in its cgroup's name.
  optional(sink, 'k8s.pod.uid', local?.podUid ?? peers.container?.podUid);
  optional(sink, 'container.id', peers.container?.containerId ?? local?.containerId);
}

/** The flow but for the client's port, which is `source.port` (connectionAttributes). */
export function flowAttributes(record: LogConnection, peers: LogPeers, sink: FieldSink): void {
  optional(sink, 'source.address', clientHost(record));
  optional(sink, 'destination.address', serverHost(record));
  sink.int('destination.port', serverPort(record));
  // The accepting socket shows the port it listens on, which need not be the one that was dialled.
  if (record.role === 'source' && peers.service !== undefined) {
    sink.int('server.port', record.dialledPort || serverPort(record));
  }
  const known = record.localAddress || record.remoteAddress;
  if (known !== '') sink.string('network.type', known.includes(':') ? 'ipv6' : 'ipv4');
}

/** What OpenTelemetry and tcpledger say of this one connection. */
export function connectionAttributes(record: LogConnection, bootId: string, sink: FieldSink): void {
  sink.string(CONNECTION_ID, connectionId(bootId, record));
  figureAttributes(record, sink);
  habitAttributes(record, sink);
}

/** What differs from one connection to the next, beside its id. A pair's connections may be those of several processes in turns. */
export function figureAttributes(record: LogConnection, sink: FieldSink): void {
  sink.int('source.port', clientPort(record));
  if (record.pid !== 0) sink.int('process.pid', record.pid);
  if (record.role === 'source' && record.establishedNs !== 0 && !record.adopted) {
    sink.double('tcpledger.connect.duration', seconds(record.establishedNs - record.openedNs));
  }
  if (record.event === 'open') return;
  sink.double('tcpledger.duration', seconds(durationNs(record)));
  if (record.smoothedRttUs !== 0) sink.double('tcpledger.tcp.rtt.smoothed', record.smoothedRttUs / 1e6);
  if (record.minRttUs !== 0) sink.double('tcpledger.tcp.rtt.min', record.minRttUs / 1e6);
  sink.int('tcpledger.tcp.segments.sent', record.segmentsSent);
  sink.int('tcpledger.tcp.segments.received', record.segmentsReceived);
}

/** What connections of a pair tend to have in common: the program, the way they end, that nothing was lost. */
export function habitAttributes(record: LogConnection, sink: FieldSink): void {
  optional(sink, 'process.executable.name', record.executable);
  if (record.event === 'open') return;
  sink.int('tcpledger.tcp.retransmits', record.retransmits);
  sink.int('tcpledger.tcp.lost', record.lost);
  if (record.event === 'close') optional(sink, 'tcpledger.tcp.close.reason', record.closeReason);
  else optional(sink, 'error.type', record.errorType);
}

/** Whether two records' `habitAttributes` are the same. */
export const sameHabits = (a: LogConnection, b: LogConnection): boolean =>
  a.executable === b.executable &&
  a.event === b.event &&
  a.retransmits === b.retransmits &&
  a.lost === b.lost &&
  a.closeReason === b.closeReason &&
  a.errorType === b.errorType;

const clientHost = (r: LogConnection): string => (r.role === 'source' ? r.localAddress : r.remoteAddress);
export const clientPort = (r: LogConnection): number => (r.role === 'source' ? r.localPort : r.remotePort);
const serverHost = (r: LogConnection): string => (r.role === 'source' ? r.remoteAddress : r.localAddress);
const serverPort = (r: LogConnection): number => (r.role === 'source' ? r.remotePort : r.localPort);

/** `src.addr`: `ip:port`, IPv6 in brackets; '' when the address is not known. */
export const clientAddress = (record: LogConnection): string => hostPort(clientHost(record), clientPort(record));

/** `src.addr` up to its port; '' when the address is not known. */
export const clientAddressStem = (record: LogConnection): string => hostStem(clientHost(record));

/** `dst.addr`, as clientAddress. */
export const serverAddress = (record: LogConnection): string => hostPort(serverHost(record), serverPort(record));

const hostPort = (host: string, port: number): string => (host === '' ? '' : hostStem(host) + port);

function hostStem(host: string): string {
  if (host === '') return '';
  return host.includes(':') ? `[${host}]:` : `${host}:`;
}

/** Nanoseconds from the opening (or the adoption) to the event; never negative, whatever the clocks of two CPUs say. */
const durationNs = (record: LogConnection): number => Math.max(0, record.timeNs - record.openedNs);

const seconds = (ns: number): number => Math.max(0, ns) / 1e9;

/** Unknown is undefined or empty: both are left out. */
function optional(sink: FieldSink, name: string, value: string | undefined): void {
  if (value !== undefined && value !== '') sink.string(name, value);
}
