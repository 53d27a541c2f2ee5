/** What a scraper asked for: the format by Accept, the coding by Accept-Encoding, both with their weights (RFC 9110 §12). */
import type { Format } from './text-format.ts';

interface Choice {
  /** Lower case, without parameters: `text/plain`, `gzip`, `*`. */
  readonly value: string;
  /** Lower-case names; `q` is not among them. */
  readonly parameters: ReadonlyMap<string, string>;
  /** 0 to 1; 0 refuses. */
  readonly weight: number;
}

/** OpenMetrics if it was asked for by name, or clearly preferred; else text 0.0.4, even to those who accept neither. */
export function formatFor(accept: string | undefined): Format {
  const choices = choicesOf(accept);
  const openMetrics = best(choices, 'application/openmetrics-text', '1.0.0');
  const text = best(choices, 'text/plain', '0.0.4');
  if (openMetrics.weight === 0) return 'text';
  if (openMetrics.weight === text.weight) return openMetrics.named ? 'openmetrics' : 'text';
  return openMetrics.weight > text.weight ? 'openmetrics' : 'text';
}

/** Whether to send gzip: only to those who ask, and not to those who would rather not. */
export function acceptsGzip(acceptEncoding: string | undefined): boolean {
  const choices = choicesOf(acceptEncoding);
  const weightOf = (value: string) => choices.find((choice) => choice.value === value)?.weight;
  const gzip = weightOf('gzip') ?? weightOf('x-gzip') ?? weightOf('*') ?? 0;
  return gzip > 0 && gzip >= (weightOf('identity') ?? 0);
}

/** The weight of a media type: that of the most specific range that covers it, 0 if none does. */
function best(choices: readonly Choice[], type: string, version: string): { weight: number; named: boolean } {
  const covering = choices
    .filter(({ value, parameters }) => value === type && (parameters.get('version') ?? version) === version)
    .sort((a, b) => b.parameters.size - a.parameters.size || b.weight - a.weight);
  if (covering[0] !== undefined) return { weight: covering[0].weight, named: true };
  const range = [`${type.split('/')[0]}/*`, '*/*'].flatMap((value) =>
    choices.filter((choice) => choice.value === value),
  );
  return { weight: range[0]?.weight ?? 0, named: false };
}

function choicesOf(header: string | undefined): Choice[] {
  return (header ?? '')
    .split(',')
    .map((part) => part.split(';').map((piece) => piece.trim()))
    .filter(([value]) => value !== undefined && value !== '')
    .map(([value, ...pieces]) => {
      const parameters = new Map(
        pieces.map((piece): [string, string] => {
          const [name, ...rest] = piece.split('=');
          return [
            name!.trim().toLowerCase(),
            rest
              .join('=')
              .trim()
              .replace(/^"(.*)"$/, '$1'),
          ];
        }),
      );
      const weight = weightOf(parameters.get('q'));
      parameters.delete('q');
      return { value: value!.toLowerCase(), parameters, weight };
    });
}

/** A weight that can't be read refuses: a choice the scraper garbled is not what it asked for. */
function weightOf(q: string | undefined): number {
  if (q === undefined) return 1;
  return /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(q) ? Number(q) : 0;
}
