/**
 * Where each series of the metric registry lives in a row of the series table. A row belongs to one label set of one of
 * the two sets (`istio`, `tcp`); its columns are the registry's series in order, 17 for a histogram (16 buckets, not
 * cumulative, then the sum in nanoseconds) and 1 for anything else.
 */
import {
  CONNECT_ERRORS,
  type ConnectError,
  counterColumn,
  errorColumn,
  HISTOGRAM_BUCKETS,
  histogramColumn,
  PAIR_COUNTERS,
  type PairCounter,
  type PairField,
  type PairHistogram,
} from '../semconv/pair-fields.ts';
import { ISTIO_LABELS, PAIR_METRICS, type PairMetricRow, TCP_LABELS } from '../semconv/registry.ts';

export interface SeriesColumn {
  /** The series' own labels: they come behind the base labels, or give the value of one of them (response_flags). */
  readonly labels: Readonly<Record<string, string>>;
  /** Column of the value; of the first bucket in a histogram. */
  readonly column: number;
  /** Columns that are its own. */
  readonly width: number;
  readonly absentAtZero: boolean;
}

export interface FamilyColumns {
  readonly metric: PairMetricRow;
  readonly series: readonly SeriesColumn[];
}

export interface SetLayout {
  readonly name: 'istio' | 'tcp';
  /** Base label names, in order. */
  readonly labels: readonly string[];
  /** The base label whose value is the series' own, undefined if the series' labels come behind the base labels. */
  readonly splitAt: string | undefined;
  readonly families: readonly FamilyColumns[];
  /** Columns of a row. */
  readonly stride: number;
  /** Column of the open connections (a series, or kept for expiry alone). */
  readonly active: number;
  /** For each column, the column of a PairBatch row that it sums, by the pair's role. */
  readonly from: Readonly<Record<'source' | 'destination', Uint16Array>>;
}

export const ISTIO_SET: SetLayout = layout('istio', ISTIO_LABELS, 'response_flags');
export const TCP_SET: SetLayout = layout('tcp', TCP_LABELS, undefined);

function layout(name: 'istio' | 'tcp', labels: readonly string[], splitAt: string | undefined): SetLayout {
  const source: number[] = [];
  const destination: number[] = [];
  const families = PAIR_METRICS.filter((metric) => metric.set === name).map((metric) => ({
    metric,
    series: metric.series.map((series) => {
      const column = source.length;
      const columns = batchColumns(series.source);
      source.push(...columns);
      destination.push(...batchColumns(series.destination));
      return { labels: series.labels, column, width: columns.length, absentAtZero: series.absentAtZero ?? false };
    }),
  }));
  let active = source.indexOf(counterColumn('active'));
  if (active === -1) {
    active = source.length;
    source.push(counterColumn('active'));
    destination.push(counterColumn('active'));
  }
  return {
    name,
    labels,
    splitAt,
    families,
    stride: source.length,
    active,
    from: { source: Uint16Array.from(source), destination: Uint16Array.from(destination) },
  };
}

/** The columns of a PairBatch row that hold a field: 17 in a row for a histogram, else 1. */
function batchColumns(field: PairField): number[] {
  if (isCounter(field)) return [counterColumn(field)];
  if (isError(field)) return [errorColumn(field)];
  const first = histogramColumn(field as PairHistogram);
  return Array.from({ length: HISTOGRAM_BUCKETS + 1 }, (_, i) => first + i);
}

function isCounter(field: PairField): field is PairCounter {
  return PAIR_COUNTERS.some((name) => name === field);
}

function isError(field: PairField): field is ConnectError {
  return CONNECT_ERRORS.some((name) => name === field);
}
