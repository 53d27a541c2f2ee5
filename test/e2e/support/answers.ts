/**
 * What Prometheus has to answer to the expressions of dashboards and of Kiali, worked out from the oracle: sums by labels
 * of counters or of their rates, added, subtracted, or one after another. What is not the mesh's own traffic Prometheus
 * is asked for.
 */
import { type ExpectedSeries, expectedValue, FAMILIES, type Labels } from './expected-series.ts';
import type { Account } from './mesh-traffic.ts';
import type { Element } from './prometheus.ts';

/** When expressions are evaluated: at a scrape that sees all there is, and the one before it nothing of the last round. */
export interface Moment {
  /** Unix milliseconds of all scrapes, the last one the moment itself. */
  readonly scrapes: readonly number[];
  /** What the first scrape saw, the last but one, and the last. */
  readonly first: Account;
  readonly before: Account;
  readonly now: Account;
}

export interface Oracle {
  readonly series: readonly ExpectedSeries[];
  /** What the scrape configuration adds to every series. */
  readonly targetLabels: Labels;
  readonly moment: Moment;
  /** Prometheus' own answer as of the moment. */
  readonly ask: (expression: string) => Promise<readonly Element[]>;
}

type Vector = readonly Element[];

/** `sum by (labels) (rate(metric{matchers}[window]))`, the clause before or behind, with rate, irate or neither. */
const TERM =
  /sum(?: by \((?<before>[^)]*)\))?\s*\((?:(?<fn>i?rate)\()?(?<metric>\w+)(?:\{(?<matchers>[^}]*)\})?(?:\[(?<window>\w+)\]\))?\)(?: by \((?<behind>[^)]*)\))?/g;

const STRANGERS = ['source_workload', 'destination_workload', 'destination_service']
  .map((label) => `${label}="unknown"`)
  .join();

/** In no order. */
export async function expectedAnswer(expression: string, oracle: Oracle): Promise<Vector> {
  let answer: Vector | undefined;
  let end = 0;
  for (const match of expression.matchAll(TERM)) {
    const operator = /\bor\b|[+-]/.exec(expression.slice(end, match.index))?.[0];
    end = match.index + match[0].length;
    answer = combined(answer, operator, await termOf(match, oracle));
  }
  if (!answer) throw new Error(`no sum in the expression ${expression}`);
  return wrapped(answer, expression);
}

async function termOf(match: RegExpExecArray, { series, targetLabels, moment, ask }: Oracle): Promise<Vector> {
  const [text] = match;
  const { before, behind, fn, metric = '', matchers = '', window } = match.groups!;
  const count = FAMILIES[metric];
  // No traffic is HTTP here.
  if (!count) return [];
  const matches = matcherOf(matchers);
  const ours = series.flatMap((each) => {
    const labels = { ...each.labels, ...targetLabels };
    if (!matches(labels)) return [];
    const at = (account: Account) => expectedValue(each, count, account);
    const { first, before: previous, now } = moment;
    if (fn === 'irate') return [{ labels, value: (at(now) - at(previous)) / sinceLast(moment) }];
    if (fn === 'rate') return [{ labels, value: (at(now) - at(first)) * rateFactor(moment, secondsOf(window!)) }];
    return [{ labels, value: at(now) }];
  });
  const by = (before ?? behind ?? '').split(',').map((label) => label.trim());
  return summed([...ours, ...(await ask(ofStrangers(text)))], by);
}

/** The same sum of what is not the mesh's. */
function ofStrangers(term: string): string {
  return term.replace(/_total(?:\{([^}]*)\})?/, (_, given = '') => {
    const matchers = [given, STRANGERS].filter((part) => part !== '');
    return `_total{${matchers.join()}}`;
  });
}

function summed(elements: Vector, by: readonly string[]): Vector {
  const sums = new Map<string, Element>();
  for (const { labels, value } of elements) {
    const group = Object.fromEntries(by.flatMap((label) => (labels[label] ? [[label, labels[label]]] : [])));
    const key = JSON.stringify(group);
    sums.set(key, { labels: group, value: (sums.get(key)?.value ?? 0) + value });
  }
  return [...sums.values()];
}

/** As Prometheus reads `a="x",b=~"y|z"`. */
function matcherOf(matchers: string): (labels: Labels) => boolean {
  const all = [...matchers.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"/g)].map(
    ([, label, operator, quoted]) => {
      const text = JSON.parse(`"${quoted}"`) as string;
      const pattern = operator!.includes('~') ? new RegExp(`^(?:${text})$`) : undefined;
      return (labels: Labels) => {
        const value = labels[label!] ?? '';
        return (pattern ? pattern.test(value) : value === text) !== operator!.startsWith('!');
      };
    },
  );
  return (labels) => all.every((holds) => holds(labels));
}

/** Without an operator it is the first term, which a minus negates. Arithmetic is between elements of the same labels. */
function combined(answer: Vector | undefined, operator: string | undefined, term: Vector): Vector {
  const negated = () => term.map(({ labels, value }) => ({ labels, value: -value }));
  if (!answer) return operator === '-' ? negated() : term;
  const same = (a: Element) => (b: Element) => isSame(a.labels, b.labels);
  if (operator === 'or') return [...answer, ...term.filter((element) => !answer.some(same(element)))];
  return answer.flatMap((element) => {
    const other = (operator === '-' ? negated() : term).find(same(element));
    return other ? [{ labels: element.labels, value: element.value + other.value }] : [];
  });
}

/** What the dashboards and Kiali do to a whole answer. */
function wrapped(answer: Vector, expression: string): Vector {
  if (expression.startsWith('round(')) {
    return answer.map(({ labels, value }) => ({ labels, value: Math.round(value * 1000) / 1000 }));
  }
  const [, joined, separator, sources] = /^label_join\(.*, "(\w+)", "(.)", (".*")\)$/.exec(expression) ?? [];
  if (joined) {
    const names = JSON.parse(`[${sources}]`) as string[];
    return answer.map(({ labels, value }) => ({
      labels: { ...labels, [joined]: names.map((name) => labels[name]).join(separator) },
      value,
    }));
  }
  return expression.endsWith(' > 0') ? answer.filter(({ value }) => value > 0) : answer;
}

const isSame = (a: Labels, b: Labels): boolean => Object.keys({ ...a, ...b }).every((label) => a[label] === b[label]);

/** Seconds. */
const sinceLast = ({ scrapes }: Moment): number => (scrapes.at(-1)! - scrapes.at(-2)!) / 1000;

/**
 * By what rate() multiplies an increase (promql/functions.go, extrapolatedRate): it is carried on towards the beginning of
 * the window, as far as that is not much more than from one sample to the next, else by half of that. Here the last
 * sample is at the end of the window, and no counter began with less than it rose by, so that zero is no limit.
 * `window`: seconds.
 */
function rateFactor({ scrapes }: Moment, window: number): number {
  const end = scrapes.at(-1)!;
  const begin = end - window * 1000;
  const inside = scrapes.filter((scrape) => scrape >= begin);
  const sampled = end - inside[0]!;
  const between = sampled / (inside.length - 1);
  const ahead = inside[0]! - begin;
  return (sampled + (ahead < between * 1.1 ? ahead : between / 2)) / sampled / window;
}

function secondsOf(duration: string): number {
  const [, number, unit] = /^(\d+)([sm])$/.exec(duration)!;
  return Number(number) * (unit === 'm' ? 60 : 1);
}
