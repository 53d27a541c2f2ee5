/** What a Collector has written, as the kernel tests' readers have it from elsewhere: log records, and a page. */
import type { ReceivedRecord } from '../../kernel/support/otlp-logs.ts';
import { Page } from '../../kernel/support/prometheus-text.ts';

type Value = { stringValue?: string; boolValue?: boolean; intValue?: string; doubleValue?: number };
type Attributes = readonly { readonly key: string; readonly value: Value }[];

interface LogRecord {
  readonly eventName: string;
  readonly severityNumber: number;
  readonly body: Value;
  readonly timeUnixNano: string;
  readonly attributes: Attributes;
}

interface Point {
  readonly attributes?: Attributes;
  readonly asInt?: string;
  readonly asDouble?: number;
}

interface Metric {
  readonly name: string;
  readonly sum?: { readonly isMonotonic?: boolean; readonly dataPoints: readonly Point[] };
  readonly gauge?: { readonly dataPoints: readonly Point[] };
}

function plain({ stringValue, boolValue, intValue, doubleValue }: Value): string | number | boolean {
  return stringValue ?? boolValue ?? doubleValue ?? Number(intValue);
}

/** Records of requests for logs, in the order of their arrival. */
export function recordsOfRequests(
  requests: readonly { resourceLogs?: readonly { scopeLogs: readonly { logRecords: readonly LogRecord[] }[] }[] }[],
): ReceivedRecord[] {
  return requests
    .flatMap(({ resourceLogs = [] }) => resourceLogs)
    .flatMap(({ scopeLogs }) => scopeLogs)
    .flatMap(({ logRecords }) => logRecords)
    .map(({ eventName, severityNumber, body, timeUnixNano, attributes }) => ({
      eventName,
      severityNumber,
      body: String(plain(body)),
      timeUnixNano: BigInt(timeUnixNano),
      attributes: Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)])),
    }));
}

/** The last point of every sum and gauge in requests for metrics, under its name on the page. Histograms are left out. */
export function pageOfRequests(
  requests: readonly { resourceMetrics?: readonly { scopeMetrics: readonly { metrics: readonly Metric[] }[] }[] }[],
): Page {
  const last = new Map<string, string>();
  for (const { name, sum, gauge } of requests
    .flatMap(({ resourceMetrics = [] }) => resourceMetrics)
    .flatMap(({ scopeMetrics }) => scopeMetrics)
    .flatMap(({ metrics }) => metrics)) {
    for (const { attributes = [], asInt, asDouble } of (sum ?? gauge)?.dataPoints ?? []) {
      const labels = attributes.map(({ key, value }) => `${key}=${JSON.stringify(String(plain(value)))}`);
      last.set(`${name}${sum?.isMonotonic ? '_total' : ''}{${labels}}`, String(asInt ?? asDouble ?? 0));
    }
  }
  return new Page([...last].map(([series, value]) => `${series} ${value}\n`).join(''));
}
