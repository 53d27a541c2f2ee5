/**
 * Reads the Prometheus text format 0.0.4 strictly: what a scraper would refuse is an error here. Values are doubles,
 * exact up to 2^53.
 */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const NAME = /[a-zA-Z_:][a-zA-Z0-9_:]*/y;
const LABEL = /[a-zA-Z_][a-zA-Z0-9_]*/y;
const VALUE = /[^ \n]+/y;
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\', '"': '"', n: '\n' };

/** One scrape. */
export class Page {
  readonly samples: readonly Sample[];
  readonly types: ReadonlyMap<string, string>;
  readonly #byName = new Map<string, Sample[]>();

  constructor(text: string) {
    const samples: Sample[] = [];
    const types = new Map<string, string>();
    for (const line of text.split('\n')) {
      if (line === '') continue;
      if (line.startsWith('# TYPE ')) {
        const [, , name, type] = line.split(' ');
        if (types.has(name!)) throw new Error(`a second TYPE line of ${name}`);
        types.set(name!, type!);
      } else if (!line.startsWith('#')) {
        samples.push(sampleOf(line));
      }
    }
    this.samples = samples;
    this.types = types;
    const seen = new Set<string>();
    for (const sample of samples) {
      const key = JSON.stringify([sample.name, Object.entries(sample.labels).sort()]);
      if (seen.has(key)) throw new Error(`a second sample of ${key}`);
      seen.add(key);
      const family = this.#byName.get(sample.name);
      if (family === undefined) this.#byName.set(sample.name, [sample]);
      else family.push(sample);
    }
  }

  /** Samples of that name whose labels have these values. */
  select(name: string, labels: Readonly<Record<string, string>> = {}): readonly Sample[] {
    const wanted = Object.entries(labels);
    return (this.#byName.get(name) ?? []).filter((sample) => wanted.every(([k, v]) => sample.labels[k] === v));
  }

  /** Their sum; 0 if there is none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    return this.select(name, labels).reduce((sum, sample) => sum + sample.value, 0);
  }
}

function sampleOf(line: string): Sample {
  let at = 0;
  const fail = (what: string): never => {
    throw new Error(`${what} expected at column ${at + 1} of: ${line}`);
  };
  const take = (pattern: RegExp, what: string): string => {
    pattern.lastIndex = at;
    const found = pattern.exec(line)?.[0] ?? fail(what);
    at += found.length;
    return found;
  };
  const literal = (text: string): void => {
    if (!line.startsWith(text, at)) fail(text);
    at += text.length;
  };

  const name = take(NAME, 'a name');
  const labels: Record<string, string> = {};
  if (line[at] === '{') {
    at++;
    while (line[at] !== '}') {
      const label = take(LABEL, 'a label');
      if (label in labels) fail(`a label other than ${label}`);
      literal('="');
      let value = '';
      for (; line[at] !== '"'; at++) {
        if (at >= line.length) fail('a closing quote');
        if (line[at] === '\\') value += ESCAPES[line[++at] ?? ''] ?? fail('an escape');
        else value += line[at];
      }
      at++;
      labels[label] = value;
      if (line[at] === ',') at++;
      else if (line[at] !== '}') fail(', or }');
    }
    at++;
  }
  literal(' ');
  const text = take(VALUE, 'a value');
  const value = /^[+-]?Inf$/.test(text) ? Number(text.replace('Inf', 'Infinity')) : Number(text);
  if (Number.isNaN(value) && text !== 'NaN') fail('a number');
  if (at !== line.length) fail('the end of the line');
  return { name, labels, value };
}
