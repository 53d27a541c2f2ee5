/** Schemas of single values that are no quantities. */
import { isScalar, type Node } from 'yaml';
import { suggestion } from './nearest.ts';
import { emptyOrigin, found, isAbsent, quote, textOf } from './nodes.ts';
import type { Report, Schema } from './types.ts';

/** Reports that a required value is missing or that what was found is not allowed. `hint` ends the message. */
export function mistake(schema: { expects: string }, node: Node | undefined, path: string, report: Report, hint = '') {
  if (isAbsent(node)) report(path, node, `missing${emptyOrigin(node)}. Required: ${schema.expects}.${hint}`);
  else report(path, node, `found ${found(node)}. Allowed: ${schema.expects}.${hint}`);
}

/** Any text, or by `pattern` (then `expects` says it in words). Not empty unless `empty` allows it. */
export function string(
  options: { readonly expects?: string; readonly pattern?: RegExp; readonly empty?: boolean } = {},
): Schema<string> {
  const expects = options.expects ?? (options.empty ? 'text' : 'text that is not empty');
  return {
    expects,
    parse(node, path, report) {
      const text = isAbsent(node) ? undefined : textOf(node);
      const fits =
        text !== undefined && (text !== '' || options.empty === true) && (options.pattern?.test(text) ?? true);
      if (fits) return text;
      mistake({ expects }, node, path, report, text === undefined ? quotingHint(node) : '');
      return '';
    },
  };
}

/** YAML reads 5 and true as no text: say how to make them one. */
function quotingHint(node: Node | undefined): string {
  if (isAbsent(node) || !isScalar(node)) return '';
  return ` Write it in quotes: "${node.source ?? String(node.value)}".`;
}

export function boolean(): Schema<boolean> {
  const expects = 'true or false';
  return {
    expects,
    parse(node, path, report) {
      if (isScalar(node) && typeof node.value === 'boolean') return node.value;
      mistake({ expects }, node, path, report);
      return false;
    },
  };
}

/** A whole number in [min, max]; the widest range is that of exact doubles. */
export function integer(range: { readonly min?: number; readonly max?: number } = {}): Schema<number> {
  const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = range;
  const expects = `a whole number${rangeText(range.min, range.max)}`;
  return numeric(expects, (value) => Number.isSafeInteger(value) && value >= min && value <= max);
}

/** A finite number in [min, max]. */
export function number(range: { readonly min?: number; readonly max?: number } = {}): Schema<number> {
  const { min = -Number.MAX_VALUE, max = Number.MAX_VALUE } = range;
  return numeric(`a number${rangeText(range.min, range.max)}`, (value) => value >= min && value <= max);
}

function numeric(expects: string, fits: (value: number) => boolean): Schema<number> {
  return {
    expects,
    parse(node, path, report) {
      if (isScalar(node) && typeof node.value === 'number' && fits(node.value)) return node.value;
      mistake({ expects }, node, path, report);
      return 0;
    },
  };
}

/** ` from 1 to 9`, ` of at least 1`, ` of at most 9`, or nothing. */
export function rangeText(min: number | string | undefined, max: number | string | undefined): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return ` of at least ${min}`;
  return max === undefined ? '' : ` of at most ${max}`;
}

/** One of a few words. */
export function oneOf<const T extends string>(words: readonly T[]): Schema<T> {
  const expects = words.length === 1 ? words[0]! : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
  return {
    expects,
    parse(node, path, report) {
      const text = isAbsent(node) ? undefined : textOf(node);
      const word = words.find((known) => known === text);
      if (word !== undefined) return word;
      mistake({ expects }, node, path, report, text === undefined ? '' : suggestion(text, words));
      return words[0]!;
    },
  };
}

/** `type` or `type/name`, as the Collector's. */
export const COMPONENT_ID = /^[a-zA-Z][0-9a-zA-Z_]{0,62}(?:\/[^\s/]+)?$/;

/**
 * The id of an extension, as `file_storage` or `file_storage/fast`; '' for none. That the extension is defined is
 * checked when the whole configuration is known, and it is started without being listed in `service.extensions`.
 */
export function extensionId(): Schema<string> {
  const expects = `the id of an extension, as file_storage, or "" for none`;
  return {
    expects,
    shape: { kind: 'extensionId' },
    parse(node, path, report) {
      const text = isAbsent(node) ? undefined : textOf(node);
      if (text !== undefined && (text === '' || COMPONENT_ID.test(text))) return text;
      if (text === undefined) mistake({ expects }, node, path, report);
      else report(path, node, `found ${quote(text)}. Allowed: ${expects}.`);
      return '';
    },
  };
}
