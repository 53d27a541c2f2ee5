/** docs/metrics.md, made from the metric registry. */
import {
  AGENT_METRICS,
  ISTIO_LABELS,
  type MetricRow,
  NODE_METRICS,
  PAIR_METRICS,
  TCP_LABELS,
} from '../../src/semconv/registry.ts';

export function metricsPage(): string {
  const istio = PAIR_METRICS.filter((row) => row.set === 'istio');
  const tcp = PAIR_METRICS.filter((row) => row.set === 'tcp');
  return [
    '# Metrics',
    '',
    'Made from `src/semconv/registry.ts` by `npm run docs`. By OTLP a counter has the name without `_total`.',
    '',
    "## Istio's L4 set",
    '',
    ...labelsOf(ISTIO_LABELS),
    ...table([...istio, ...Object.values(NODE_METRICS)]),
    '',
    '`received` is client to server and `sent` is server to client for both reporters. A missing label value is `unknown`.',
    '',
    '## TCP',
    '',
    ...labelsOf(TCP_LABELS),
    ...table(tcp),
    '',
    '## The agent about itself',
    '',
    ...table(Object.values(AGENT_METRICS)),
    '',
  ].join('\n');
}

const labelsOf = (labels: readonly string[]) => [`Labels: ${labels.map((label) => `\`${label}\``).join(', ')}.`, ''];

function table(rows: readonly MetricRow[]): string[] {
  return [
    '| name | type | unit | labels of its own | help |',
    '|---|---|---|---|---|',
    ...rows.map((row) => {
      const name = row.type === 'counter' ? `${row.name}_total` : row.name;
      const bounds = row.bounds ? `. Buckets: ${row.bounds.join(', ')}` : '';
      const labels = row.labels.map((label) => `\`${label}\``).join(', ');
      return `| \`${name}\` | ${row.type} | ${row.unit ? `\`${row.unit}\`` : ''} | ${labels} | ${row.help}${bounds} |`;
    }),
  ];
}
