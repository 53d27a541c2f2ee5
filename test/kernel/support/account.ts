/** The ledger's pages and records brought into the same shape as the oracle's account, to be compared as values. */
import type { ExpectedEnd } from '../scenarios/cases.ts';
import type { LogLine } from './access-log.ts';
import type { ReceivedRecord } from './otlp-logs.ts';
import type { Page } from './prometheus-text.ts';

/** One workload pair as one reporter counts it. null: there is no such series, which must not be. */
export interface PairAccount {
  opened: number | null;
  closed: number | null;
  failedClosed: number;
  failed: number;
  /** Istio's orientation: client to server, and server to client. */
  receivedBytes: number | null;
  sentBytes: number | null;
  active: number | null;
  failures: Record<string, number>;
  /** undefined where the ends of this pair may be told either way. */
  resetsSent: number | undefined;
  resetsReceived: number | undefined;
}

export type PairAccounts = Record<string, PairAccount>;

const pairKey = (reporter: string, source: string, destination: string): string =>
  `${reporter}: ${source} → ${destination}`;

const hostOf = (address: string): string => address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');

/** `nameOf`: the workload that has an address, `unknown` if none. */
export function expectedAccounts(ends: readonly ExpectedEnd[], nameOf: (host: string) => string): PairAccounts {
  const accounts: PairAccounts = {};
  for (const end of ends) {
    const [source, destination] = end.reporter === 'source' ? [end.local, end.remote] : [end.remote, end.local];
    const key = pairKey(end.reporter, nameOf(hostOf(source)), nameOf(hostOf(destination)));
    accounts[key] ??= {
      opened: 0,
      closed: 0,
      failedClosed: 0,
      failed: 0,
      receivedBytes: 0,
      sentBytes: 0,
      active: 0,
      failures: {},
      resetsSent: 0,
      resetsReceived: 0,
    };
    add(accounts[key], end);
  }
  return accounts;
}

function add(account: PairAccount, end: ExpectedEnd): void {
  account.opened! += 1;
  const [towardsServer, towardsClient] =
    end.reporter === 'source' ? [end.sent, end.received] : [end.received, end.sent];
  account.receivedBytes! += towardsServer;
  account.sentBytes! += towardsClient;
  if (end.event === 'fail') {
    account.failed += 1;
    account.failedClosed += 1;
    const family = end.errorFamily ?? end.errorType ?? '';
    account.failures[family] = (account.failures[family] ?? 0) + 1;
    return;
  }
  account.closed! += 1;
  if (end.reason === undefined) {
    account.resetsSent = undefined;
    account.resetsReceived = undefined;
  }
  if (end.reason === 'local_reset' && account.resetsSent !== undefined) account.resetsSent += 1;
  if (end.reason === 'peer_reset' && account.resetsReceived !== undefined) account.resetsReceived += 1;
}

/** What the page says of all pairs in which one of these workloads takes part. */
export function accountsOf(page: Page, workloads: readonly string[], like: PairAccounts): PairAccounts {
  const accounts: PairAccounts = {};
  for (const { labels } of page.select('istio_tcp_connections_opened_total')) {
    const { reporter, source_workload, destination_workload } = labels as Record<string, string>;
    if (!workloads.includes(source_workload!) && !workloads.includes(destination_workload!)) continue;
    const pair = {
      reporter: reporter!,
      source_workload: source_workload!,
      destination_workload: destination_workload!,
    };
    const key = pairKey(pair.reporter, pair.source_workload, pair.destination_workload);
    accounts[key] = accountOf(page, pair, like[key]);
  }
  return accounts;
}

function accountOf(page: Page, pair: Record<string, string>, like: PairAccount | undefined): PairAccount {
  const present = (name: string, labels: Record<string, string>): number | null =>
    page.select(name, { ...pair, ...labels }).length === 0 ? null : page.sum(name, { ...pair, ...labels });
  const success = { response_flags: '-' };
  const failure = { response_flags: 'CONNECT' };
  const failures: Record<string, number> = {};
  for (const { labels, value } of page.select('tcp_connect_failures_total', pair)) {
    const type = labels.error_type!;
    if (value !== 0) failures[type] = (failures[type] ?? 0) + value;
  }
  const resets = (direction: string): number => page.sum('tcp_resets_total', { ...pair, direction });
  return {
    opened: present('istio_tcp_connections_opened_total', success),
    closed: present('istio_tcp_connections_closed_total', success),
    failedClosed: page.sum('istio_tcp_connections_closed_total', { ...pair, ...failure }),
    failed: page.sum('istio_tcp_connections_failed_total', { ...pair, ...failure }),
    receivedBytes: present('istio_tcp_received_bytes_total', success),
    sentBytes: present('istio_tcp_sent_bytes_total', success),
    active: present('tcp_connections_active', {}),
    failures,
    resetsSent: like?.resetsSent === undefined ? undefined : resets('sent'),
    resetsReceived: like?.resetsReceived === undefined ? undefined : resets('received'),
  };
}

/** One line of the access log, or one log record. Bytes are the local end's view. */
export interface RecordAccount {
  readonly event: string;
  readonly direction: string;
  readonly client: string;
  readonly server: string;
  readonly sent: number;
  readonly received: number;
  /** Of closes, where the expectation names it; of failures the error's type. */
  readonly why?: string | undefined;
}

const flowKey = (record: Pick<RecordAccount, 'direction' | 'client' | 'server'>): string =>
  `${record.direction} ${record.client} ${record.server}`;

const sorted = (records: RecordAccount[]): RecordAccount[] =>
  records.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

/** `withReason`: false for the access log, which does not tell it. */
export function expectedRecords(ends: readonly ExpectedEnd[], withReason: boolean): RecordAccount[] {
  return sorted(
    ends.map((end) => {
      const [client, server] = end.reporter === 'source' ? [end.local, end.remote] : [end.remote, end.local];
      return {
        event: end.event,
        direction: end.reporter === 'source' ? 'outbound' : 'inbound',
        client,
        server,
        sent: end.sent,
        received: end.received,
        ...(withReason ? { why: end.event === 'fail' ? end.errorType : end.reason } : {}),
      };
    }),
  );
}

/** Records between these hosts; reasons only where the expectation has one. */
export function recordsOf(
  received: readonly ReceivedRecord[],
  hosts: ReadonlySet<string>,
  like: readonly RecordAccount[],
): RecordAccount[] {
  const told = new Set(like.filter((record) => record.why !== undefined).map(flowKey));
  const records: RecordAccount[] = [];
  for (const { eventName, attributes } of received) {
    const clientHost = String(attributes['source.address']);
    const serverHost = String(attributes['destination.address']);
    if (!hosts.has(clientHost) && !hosts.has(serverHost)) continue;
    const flow = {
      direction: String(attributes.direction),
      client: join(clientHost, attributes['source.port']),
      server: join(serverHost, attributes['destination.port']),
    };
    const why = attributes['tcpledger.tcp.close.reason'] ?? attributes['error.type'];
    records.push({
      event: eventName.slice(eventName.lastIndexOf('.') + 1),
      ...flow,
      sent: Number(attributes.bytes_sent),
      received: Number(attributes.bytes_recv),
      why: told.has(flowKey(flow)) ? String(why) : undefined,
    });
  }
  return sorted(records);
}

/** The same from the access log. */
export function linesOf(lines: readonly LogLine[], hosts: ReadonlySet<string>): RecordAccount[] {
  const records: RecordAccount[] = [];
  for (const { level, fields } of lines) {
    const [client, server] = [String(fields['src.addr']), String(fields['dst.addr'])];
    if (!hosts.has(hostOf(client)) && !hosts.has(hostOf(server))) continue;
    records.push({
      event: level === 'error' && fields.error !== undefined ? 'fail' : 'close',
      direction: String(fields.direction),
      client,
      server,
      sent: Number(fields.bytes_sent),
      received: Number(fields.bytes_recv),
    });
  }
  return sorted(records);
}

const join = (host: string, port: unknown): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

/** Whole-node sums, in the local view of bytes. */
export interface NodeTotals {
  readonly opened: number;
  readonly closed: number;
  readonly failed: number;
  readonly sent: number;
  readonly received: number;
}

/** The agent's audit line. */
export const auditedTotals = (page: Page): NodeTotals => ({
  opened: page.sum('tcpledger_connections_opened_total'),
  closed: page.sum('tcpledger_connections_closed_total'),
  failed: page.sum('tcpledger_connections_failed_total'),
  sent: page.sum('tcpledger_bytes_sent_total'),
  received: page.sum('tcpledger_bytes_received_total'),
});

/** The same from all labelled series of the page. */
export function seriesTotals(page: Page): NodeTotals {
  const source = { reporter: 'source' };
  const destination = { reporter: 'destination' };
  const [towardsServer, towardsClient] = ['istio_tcp_received_bytes_total', 'istio_tcp_sent_bytes_total'];
  return {
    opened: page.sum('istio_tcp_connections_opened_total'),
    closed: page.sum('istio_tcp_connections_closed_total', { response_flags: '-' }),
    failed: page.sum('istio_tcp_connections_failed_total'),
    sent: page.sum(towardsServer!, source) + page.sum(towardsClient!, destination),
    received: page.sum(towardsClient!, source) + page.sum(towardsServer!, destination),
  };
}
