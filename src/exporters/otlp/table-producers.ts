/**
 * A series table as many small producers: an SDK's points of 40,000 series are made in a tenth of a second, too long to
 * hold the event loop at once. Each producer makes those of some rows; all of them read one snapshot.
 */
import type { MetricProducer } from '@opentelemetry/sdk-metrics';
import { familiesProducer, nodeTotalsProducer } from '../otel-metrics-adapter.ts';
import { snapshotFamilies } from '../series-snapshot.ts';
import type { SeriesTable } from '../series-table.ts';

/** Rows of some ten series each: a few milliseconds. */
const ROWS = 128;

export function* tableProducers(table: SeriesTable): Generator<MetricProducer> {
  for (const { layout, rows, values } of table.snapshot()) {
    for (let from = 0; from < rows.length; from += ROWS) {
      const part = {
        layout,
        rows: rows.slice(from, from + ROWS),
        values: values.subarray(from * layout.stride, (from + ROWS) * layout.stride),
      };
      yield familiesProducer(() => snapshotFamilies([part]), table.createdMs);
    }
  }
  yield nodeTotalsProducer(table);
}
