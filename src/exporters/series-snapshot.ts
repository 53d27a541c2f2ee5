/**
 * A series table at one instant, and the same as families of points. Readers that take their time (a page written to
 * a slow scraper) and readers that take all at once (OTLP) read the same values from it, whatever the table does since.
 */
import { HISTOGRAM_BUCKETS } from '../semconv/pair-fields.ts';
import type { Family, FamilyPoint } from './family.ts';
import type { FamilyColumns, SeriesColumn, SetLayout } from './series-layout.ts';
import type { SeriesRow } from './series-rows.ts';

export interface SetSnapshot {
  readonly layout: SetLayout;
  /** undefined: a free row. Row r's values start at r * layout.stride. */
  readonly rows: readonly (SeriesRow | undefined)[];
  readonly values: Float64Array;
}

/** Histogram sums are kept in nanoseconds, as the kernel counts them, and leave in seconds. */
export const sumInSeconds = (ns: number): number => ns / 1e9;

/** One family per row of the registry that has a series to show, in the registry's order. */
export function snapshotFamilies(sets: readonly SetSnapshot[]): Family[] {
  return sets
    .flatMap((set) => set.layout.families.map((family) => ({ definition: family.metric, points: points(set, family) })))
    .filter((family) => family.points.length > 0);
}

function points(set: SetSnapshot, family: FamilyColumns): FamilyPoint[] {
  return set.rows.flatMap((row, r) => {
    if (row === undefined) return [];
    const base = r * set.layout.stride;
    return family.series
      .filter((series) => isShown(series, set.values, base))
      .map((series) => point(set, row, base, family, series));
  });
}

/** Whether a series has a place on the page: failures have none before the first, nor has a histogram. */
export function isShown(series: SeriesColumn, values: Float64Array, base: number): boolean {
  if (!series.absentAtZero) return true;
  const first = base + series.column;
  for (let column = first; column < first + series.width; column++) if (values[column] !== 0) return true;
  return false;
}

function point(
  set: SetSnapshot,
  row: SeriesRow,
  base: number,
  family: FamilyColumns,
  series: SeriesColumn,
): FamilyPoint {
  const at = base + series.column;
  // A series' own value of a base label keeps that label's place in the order.
  const labels = { ...baseLabels(set.layout, row), ...series.labels };
  const startMs = row.createdMs;
  if (family.metric.type !== 'histogram') return { labels, value: set.values[at]!, startMs };
  const buckets = Array.from(set.values.subarray(at, at + HISTOGRAM_BUCKETS));
  return {
    labels,
    buckets,
    sum: sumInSeconds(set.values[at + HISTOGRAM_BUCKETS]!),
    count: buckets.reduce((sum, bucket) => sum + bucket, 0),
    startMs,
  };
}

function baseLabels(layout: SetLayout, row: SeriesRow): Record<string, string> {
  return Object.fromEntries(layout.labels.map((name, i) => [name, row.labelValues[i]!]));
}
