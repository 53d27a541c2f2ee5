/** Durations in Go's syntax and sizes with binary units. A number without a unit is a mistake, but for 0. */
import type { Node } from 'yaml';
import { isAbsent, sourceOf } from './nodes.ts';
import { mistake, rangeText } from './scalars.ts';
import type { Schema } from './types.ts';

const MS: ReadonlyMap<string, number> = new Map([
  ['ns', 1e-6],
  ['us', 1e-3],
  ['µs', 1e-3], // U+00B5, the micro sign
  ['μs', 1e-3], // U+03BC, the Greek letter: Go takes both
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
]);

const BYTES: ReadonlyMap<string, number> = new Map([
  ['B', 1],
  ['KiB', 2 ** 10],
  ['MiB', 2 ** 20],
  ['GiB', 2 ** 30],
  ['TiB', 2 ** 40],
]);

const DURATION = /^(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+$/;
const DURATION_PART = /(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/g;
const SIZE = /^(\d+(?:\.\d+)?) ?(B|KiB|MiB|GiB|TiB)$/;
const BARE = /^\d+(?:\.\d+)?$/;

/** A timer of Node takes no more than 2^31 - 1 ms, and what is longer for no time at all. */
const LONGEST = '576h';

/** Milliseconds, or undefined when `text` is no duration in Go's syntax (negative ones are none here). */
function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (!DURATION.test(text)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(DURATION_PART)) ms += Number(amount) * MS.get(unit!)!;
  return ms;
}

/** Bytes, or undefined when `text` is no size or no whole number of bytes. */
function parseSize(text: string): number | undefined {
  if (text === '0') return 0;
  const match = SIZE.exec(text);
  if (match === null) return undefined;
  const bytes = Number(match[1]) * BYTES.get(match[2]!)!;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

interface Range {
  /** As in the file: `1ms`, `4KiB`. */
  readonly min?: string;
  readonly max?: string;
}

/** A duration in **milliseconds** (fractions allowed: 100us is 0.1), 24 days at most. Range limits are durations too. */
export function duration(range: Range = {}): Schema<number> {
  const longest = parseDuration(LONGEST)!;
  return quantity(
    range,
    parseDuration,
    'a duration such as 5s, 250ms or 1m30s',
    (bare) => ` A duration needs a unit: ${bare}s, or ${bare}ms?`,
    (text) => ((parseDuration(text) ?? 0) > longest ? ` The longest is ${LONGEST}.` : ''),
    longest,
  );
}

/** A size in **bytes**. Decimal units are refused, since they mean 1000 to some and 1024 to others. */
export function size(range: Range = {}): Schema<number> {
  return quantity(
    range,
    parseSize,
    'a size such as 16MiB, 4KiB or 512B',
    (bare) => ` A size needs a unit: ${bare}B, or ${bare}MiB?`,
    (text) => (/^\d+(\.\d+)? ?[kKMGT]B?$/.test(text) ? ` Write the binary unit: ${binary(text)}.` : ''),
  );
}

const binary = (text: string) => text.replace(/ ?([kKMGT])B?$/, (_, prefix: string) => `${prefix.toUpperCase()}iB`);

function quantity(
  range: Range,
  read: (text: string) => number | undefined,
  what: string,
  bareHint: (bare: string) => string,
  hint: (text: string) => string = () => '',
  most = Number.MAX_SAFE_INTEGER,
): Schema<number> {
  const limit = (text: string | undefined, otherwise: number): number => {
    if (text === undefined) return otherwise;
    const value = read(text);
    if (value === undefined) throw new Error(`The limit ${text} is not ${what}`);
    return value;
  };
  const min = limit(range.min, 0);
  const max = limit(range.max, most);
  const expects = `${what}${range.min || range.max ? `,${rangeText(range.min, range.max)}` : ''}`;
  const hintFor = (node: Node | undefined): string => {
    const text = isAbsent(node) ? undefined : sourceOf(node);
    if (text === undefined) return '';
    return BARE.test(text) && text !== '0' ? bareHint(text) : hint(text);
  };
  return {
    expects,
    parse(node, path, report) {
      const text = isAbsent(node) ? undefined : sourceOf(node);
      const value = text === undefined ? undefined : read(text);
      if (value !== undefined && value >= min && value <= max) return value;
      mistake({ expects }, node, path, report, hintFor(node));
      return min;
    },
  };
}
