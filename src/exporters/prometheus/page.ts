/**
 * The page as chunks of bytes. The families that are counted per pair come from a snapshot of the series table and from
 * label bytes rendered long ago; what else there is comes as text.
 *
 * The whole page is one instant: the snapshot is a copy, so a slow scraper sees the values of the moment it asked, in
 * all families, and rows dropped or made since don't show.
 */
import { Buffer } from 'node:buffer';
import { HISTOGRAM_BUCKETS } from '../../semconv/pair-fields.ts';
import { renderMoreLabels } from '../label-text.ts';
import type { FamilyColumns, SeriesColumn, SetLayout } from '../series-layout.ts';
import { ISTIO_SET, TCP_SET } from '../series-layout.ts';
import type { SeriesRow } from '../series-rows.ts';
import { isShown, type SetSnapshot, sumInSeconds } from '../series-snapshot.ts';
import { NUMBER_LENGTH, type PageBuffer } from './page-buffer.ts';
import { boundText, type Format, familyHead, OPENMETRICS_END, openMetricsOf, sampleName } from './text-format.ts';

/** What stands before and at the split of a row's labels in one line. */
interface LineText {
  readonly name: Uint8Array;
  readonly atSplit: Uint8Array;
}

interface SeriesText {
  readonly series: SeriesColumn;
  /** One line, or a histogram's: count, sum, then the buckets. */
  readonly lines: readonly LineText[];
  /** Bytes of all lines without the row's labels, at most. */
  readonly length: number;
}

interface FamilyText {
  readonly head: Uint8Array;
  readonly series: readonly SeriesText[];
}

const TEXTS: Readonly<Record<Format, ReadonlyMap<SetLayout, readonly FamilyText[]>>> = {
  text: familyTexts('text'),
  openmetrics: familyTexts('openmetrics'),
};

/**
 * The page in chunks of the buffer's size, each valid until the next is asked for. `rest` is Prometheus text 0.0.4 of
 * further families, which go behind the pairs'.
 */
export function* pageChunks(
  sets: readonly SetSnapshot[],
  rest: string,
  format: Format,
  buffer: PageBuffer,
): Generator<Uint8Array> {
  for (const set of sets) {
    for (const family of TEXTS[format].get(set.layout)!) {
      let headWritten = false;
      for (let r = 0; r < set.rows.length; r++) {
        const row = set.rows[r];
        if (row === undefined) continue;
        const base = r * set.layout.stride;
        for (const text of family.series) {
          if (!isShown(text.series, set.values, base)) continue;
          const length = text.length + text.lines.length * row.text.bytes.length + family.head.length;
          if (!buffer.room(length)) {
            yield buffer.take();
            buffer.room(length);
          }
          if (!headWritten) buffer.put(family.head);
          headWritten = true;
          putSeries(buffer, row, text, set.values, base + text.series.column);
        }
      }
    }
  }
  const last = Buffer.from(format === 'text' ? rest : openMetricsOf(rest) + OPENMETRICS_END, 'utf8');
  if (!buffer.room(last.length)) {
    yield buffer.take();
    buffer.room(last.length);
  }
  buffer.put(last);
  yield buffer.take();
}

/** All lines of one series of one row; a histogram's are never torn by a chunk's end. */
function putSeries(buffer: PageBuffer, row: SeriesRow, text: SeriesText, values: Float64Array, at: number): void {
  if (text.lines.length === 1) {
    putLine(buffer, row, text.lines[0]!, values[at]!);
    return;
  }
  let count = 0;
  for (let bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) count += values[at + bucket]!;
  putLine(buffer, row, text.lines[0]!, count);
  putLine(buffer, row, text.lines[1]!, sumInSeconds(values[at + HISTOGRAM_BUCKETS]!));
  let cumulative = 0;
  for (let bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
    cumulative += values[at + bucket]!;
    putLine(buffer, row, text.lines[2 + bucket]!, cumulative);
  }
}

function putLine(buffer: PageBuffer, row: SeriesRow, line: LineText, value: number): void {
  const { bytes, split } = row.text;
  buffer.put(line.name);
  buffer.putPart(bytes, 0, split);
  buffer.put(line.atSplit);
  buffer.putPart(bytes, split, bytes.length);
  buffer.putValue(value);
}

function familyTexts(format: Format): ReadonlyMap<SetLayout, readonly FamilyText[]> {
  return new Map(
    [ISTIO_SET, TCP_SET].map((layout) => [
      layout,
      layout.families.map((family) => ({
        head: Buffer.from(familyHead(family.metric, format)),
        series: family.series.map((series) => seriesText(layout, family, series, format)),
      })),
    ]),
  );
}

function seriesText(layout: SetLayout, family: FamilyColumns, series: SeriesColumn, format: Format): SeriesText {
  const own = layout.splitAt === undefined ? renderMoreLabels(series.labels) : series.labels[layout.splitAt]!;
  const line = (name: string, more = ''): LineText => ({ name: Buffer.from(name), atSplit: Buffer.from(own + more) });
  const name = sampleName(family.metric);
  const lines =
    family.metric.type === 'histogram'
      ? [
          line(`${name}_count`),
          line(`${name}_sum`),
          ...[...family.metric.bounds!, Number.POSITIVE_INFINITY].map((bound) =>
            line(`${name}_bucket`, renderMoreLabels({ le: boundText(bound, format) })),
          ),
        ]
      : [line(name)];
  const length = lines.reduce((sum, l) => sum + l.name.length + l.atSplit.length + NUMBER_LENGTH, 0);
  return { series, lines, length };
}
