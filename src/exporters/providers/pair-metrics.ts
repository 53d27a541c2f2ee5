/**
 * What pairs counted, as instruments of an embedding program's MeterProvider: the stock path. It says what the series
 * table says, with these limits of stock instruments:
 *   - a series lives as long as the provider: nothing expires (`series_ttl` does nothing);
 *   - beyond the reader's cardinality limit (2,000 by default) the SDK counts into its overflow series;
 *   - a histogram without a value has no series;
 *   - a histogram's values are made up (bucket-values.ts).
 */
import type { Attributes, Meter } from '@opentelemetry/api';
import type { Consumer } from '../../collector/component.ts';
import type { Telemetry } from '../../collector/telemetry.ts';
import type { IdentifiedPairs, Peers } from '../../identity/types.ts';
import { istioLabelValues, tcpLabelValues } from '../../semconv/istio-labels.ts';
import { HISTOGRAM_BUCKETS } from '../../semconv/pair-fields.ts';
import { NODE_METRICS } from '../../semconv/registry.ts';
import { NodeTotals } from '../node-totals.ts';
import { ISTIO_SET, type SetLayout, TCP_SET } from '../series-layout.ts';
import { recordBuckets } from './bucket-values.ts';
import { createInstrument, type Instrument } from './instruments.ts';

const SETS: readonly { readonly layout: SetLayout; readonly labelValues: (peers: Peers) => readonly string[] }[] = [
  { layout: ISTIO_SET, labelValues: istioLabelValues },
  { layout: TCP_SET, labelValues: tcpLabelValues },
];

/** One series of the registry, for every label set. */
interface SeriesRule {
  readonly instrument: Instrument;
  readonly layout: SetLayout;
  readonly ownLabels: Attributes;
  /** Column of a batch row, by the pair's role. */
  readonly column: Readonly<Record<Peers['reporter'], number>>;
  /** The series exists before anything was counted. */
  readonly startsAtZero: boolean;
  /** Upper bounds in seconds; undefined: no histogram. */
  readonly bounds: readonly number[] | undefined;
}

/** One series of one pair. */
interface PairSeries extends Omit<SeriesRule, 'column'> {
  readonly attributes: Attributes;
  readonly column: number;
  /** Part of a histogram's sum, in seconds, that no value counted so far could take. */
  left: number;
}

/** `telemetry` is that of the same provider: it gets the totals of the node. */
export function createPairMetrics(meter: Meter, telemetry: Telemetry, version: string): Consumer<IdentifiedPairs> {
  return new PairMetrics(meter, telemetry, version);
}

class PairMetrics implements Consumer<IdentifiedPairs> {
  readonly #rules: readonly SeriesRule[];
  readonly #pairs = new WeakMap<Peers, readonly PairSeries[]>();
  readonly #totals = new NodeTotals();

  constructor(meter: Meter, telemetry: Telemetry, version: string) {
    this.#rules = SETS.flatMap(({ layout }) => seriesRules(layout, meter));
    telemetry.observe(NODE_METRICS.istioBuild, (report) => report(1, { component: 'tcpledger', tag: version }));
    for (const [i, { definition }] of this.#totals.families().entries()) {
      telemetry.observe(definition, (report) => {
        for (const point of this.#totals.families()[i]!.points) if ('value' in point) report(point.value, point.labels);
      });
    }
  }

  consume({ batch, peers, restored }: IdentifiedPairs): void {
    for (const row of restored ?? []) {
      if (row.peers) this.#add(row.peers, row.values, 0);
      else this.#totals.addPast(row.values);
    }
    for (let i = 0; i < batch.count; i++) this.#add(peers[i]!, batch.values, i * batch.stride);
  }

  #add(peers: Peers, values: Float64Array, offset: number): void {
    this.#totals.add(peers.reporter, values, offset);
    for (const series of this.#seriesOf(peers)) {
      const at = offset + series.column;
      if (series.bounds !== undefined) {
        const sum = series.left + values[at + HISTOGRAM_BUCKETS]! / 1e9;
        const record = (value: number) => series.instrument(value, series.attributes);
        series.left = recordBuckets({ bounds: series.bounds, counts: values, at }, sum, record);
      } else if (values[at] !== 0) series.instrument(values[at]!, series.attributes);
    }
  }

  #seriesOf(peers: Peers): readonly PairSeries[] {
    const known = this.#pairs.get(peers);
    if (known !== undefined) return known;
    const made = SETS.flatMap(({ layout, labelValues }) => {
      const values = labelValues(peers);
      const labels = Object.fromEntries(layout.labels.map((name, i) => [name, values[i]!]));
      return this.#rules
        .filter((rule) => rule.layout === layout)
        .map((rule) => ({
          ...rule,
          // A series' own value of a base label keeps that label's place in the order.
          attributes: { ...labels, ...rule.ownLabels },
          column: rule.column[peers.reporter],
          left: 0,
        }));
    });
    this.#pairs.set(peers, made);
    for (const { instrument, attributes, startsAtZero } of made) if (startsAtZero) instrument(0, attributes);
    return made;
  }
}

function seriesRules(layout: SetLayout, meter: Meter): SeriesRule[] {
  return layout.families.flatMap(({ metric, series }) => {
    const instrument = createInstrument(meter, metric);
    const isHistogram = metric.type === 'histogram';
    return series.map(({ labels, column, absentAtZero }) => ({
      instrument,
      layout,
      ownLabels: labels,
      column: { source: layout.from.source[column]!, destination: layout.from.destination[column]! },
      startsAtZero: !absentAtZero && !isHistogram,
      bounds: isHistogram ? metric.bounds : undefined,
    }));
  });
}
