/**
 * The two text formats of the page. Prometheus text 0.0.4 is what the stock serializer writes; OpenMetrics 1.0.0 differs
 * in family names (without `_total`), in the text of histogram bounds and in its end.
 */
import type { MetricDefinition } from '../../collector/telemetry.ts';

export type Format = 'text' | 'openmetrics';

export const CONTENT_TYPE: Readonly<Record<Format, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

export const OPENMETRICS_END = '# EOF\n';

/** The name in front of a counter's or gauge's samples, in both formats. */
export function sampleName(family: MetricDefinition): string {
  return family.type === 'counter' ? `${family.name}_total` : family.name;
}

/** The comment lines before a family's samples. */
export function familyHead(family: MetricDefinition, format: Format): string {
  if (format === 'openmetrics') {
    // No UNIT: a unit must be the end of the family's name there, and Istio's names don't end in theirs.
    const help = escapeHelp(family.help).replace(/"/g, '\\"');
    return `# HELP ${family.name} ${help}\n# TYPE ${family.name} ${family.type}\n`;
  }
  const name = sampleName(family);
  const unit = family.unit === '' ? '' : `# UNIT ${name} ${family.unit}\n`;
  return `# HELP ${name} ${escapeHelp(family.help)}\n${unit}# TYPE ${name} ${family.type}\n`;
}

function escapeHelp(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n');
}

/** A histogram bound as the value of `le`; the last is +Inf in both. */
export function boundText(bound: number, format: Format): string {
  if (bound === Number.POSITIVE_INFINITY) return '+Inf';
  return format === 'text' ? `${bound}` : canonicalNumber(bound);
}

/**
 * OpenMetrics' canonical number: Go's %g, with `.0` where nothing tells that it is a float. JavaScript switches to an
 * exponent later (below 1e-6) and writes it with one digit where Go writes two.
 */
function canonicalNumber(value: number): string {
  const [mantissa, exponent] = value.toExponential().split('e') as [string, string];
  const power = Number(exponent);
  if (power < -4 || power >= 21) {
    return `${mantissa}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
  }
  return Number.isInteger(value) ? `${value}.0` : `${value}`;
}

/**
 * Prometheus text 0.0.4, as the stock serializer writes it, as OpenMetrics without the end. Lines end at line feeds alone:
 * label values have none of their own, and no quote that isn't escaped.
 */
export function openMetricsOf(text: string): string {
  const counters = new Set(Array.from(text.matchAll(/(?<=^|\n)# TYPE (\S+) counter(?=\n)/g), (match) => match[1]!));
  const family = (name: string): string => (counters.has(name) ? name.replace(/_total$/, '') : name);
  return text
    .split('\n')
    .filter((line) => !line.startsWith('# UNIT '))
    .map((line) => {
      const head = /^# (HELP|TYPE) (\S+) (.*)$/s.exec(line);
      if (head !== null) return `# ${head[1]} ${family(head[2]!)} ${head[3]!.replace(/"/g, '\\"')}`;
      return line.replace(/(?<=[{,]le=")[^"\\+]+(?="\} \S+$)/, (bound) => boundText(Number(bound), 'openmetrics'));
    })
    .join('\n');
}
