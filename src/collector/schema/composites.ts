/** Schemas made of schemas: lists, maps, objects, and conditions over several keys. */
import { isMap, isScalar, isSeq, type Node, type YAMLMap } from 'yaml';
import { suggestion } from './nearest.ts';
import { found, isAbsent, quote, sourceOf } from './nodes.ts';
import { mistake } from './scalars.ts';
import type { Infer, Report, Schema, Shape } from './types.ts';

/** A list; `unique` refuses a value (by its JSON) that is there already, `nonEmpty` an empty list. */
export function listOf<T>(
  item: Schema<T>,
  options: { readonly nonEmpty?: boolean; readonly unique?: boolean } = {},
): Schema<readonly T[]> {
  const expects = `a list${options.nonEmpty ? ' that is not empty' : ''}, each item ${item.expects}`;
  return {
    expects,
    shape: { kind: 'list', item },
    parse(node, path, report) {
      if (isAbsent(node) || !isSeq(node) || (options.nonEmpty === true && node.items.length === 0)) {
        if (isSeq(node)) report(path, node, `found an empty list. Allowed: ${expects}.`);
        else mistake({ expects }, node, path, report, isScalar(node) ? listHint(node) : '');
        return [];
      }
      const seen = new Map<string, number>();
      return node.items.map((child, index) => {
        const itemPath = `${path}[${index}]`;
        let wrong = false;
        const value = item.parse(child as Node, itemPath, (path, place, message) => {
          wrong = true;
          report(path, place ?? node, message);
        });
        // What stands for a wrong item is nothing that is in the file.
        if (wrong) return value;
        const key = JSON.stringify(value) ?? '';
        const first = seen.get(key);
        if (options.unique === true && first !== undefined) {
          report(itemPath, child as Node, `${found(child as Node)} is in the list already, as item ${first}.`);
        } else seen.set(key, index);
        return value;
      });
    },
  };
}

function listHint(node: Node): string {
  const text = isAbsent(node) ? undefined : sourceOf(node);
  return text === undefined || text === '' ? '' : ` A list of one is written [${text}].`;
}

/** Free keys with text values, as HTTP headers. A number or a boolean is taken as the text that stands in the file. */
export function mapOfStrings(): Schema<Readonly<Record<string, string>>> {
  const expects = 'a map from names to text, as {name: value}';
  return {
    expects,
    parse(node, path, report) {
      if (isAbsent(node) || !isMap(node)) {
        mistake({ expects }, node, path, report);
        return {};
      }
      const entries: [string, string][] = [];
      for (const pair of node.items) {
        const key = sourceOf(pair.key as Node) ?? '';
        const value = pair.value as Node | undefined;
        const text = isAbsent(value) ? undefined : sourceOf(value);
        if (text === undefined)
          report(`${path}.${key}`, value ?? (pair.key as Node), `found ${found(value)}. Allowed: text.`);
        else entries.push([key, text]);
      }
      return Object.fromEntries(entries);
    },
  };
}

type Fields = Readonly<Record<string, Schema<unknown>>>;

/** A map with known keys and no others. Absent, it is parsed as the empty map: the defaults of its keys apply. */
export function object<F extends Fields>(fields: F): Schema<{ readonly [K in keyof F]: Infer<F[K]> }> {
  const known = new Map(Object.entries(fields));
  const shape: Shape = { kind: 'object', fields: known };
  const required = [...known.values()].some((field) => field.absent === undefined);
  const expects = known.size === 0 ? 'an empty map' : `a map with the keys ${[...known.keys()].join(', ')}`;
  return {
    expects,
    shape,
    ...(required ? {} : { absent: '{}' }),
    parse(node, path, report) {
      const map = isMap(node) ? node : undefined;
      if (map === undefined && !isAbsent(node)) mistake({ expects }, node, path, report);
      else reportUnknown(map, known, path, report);
      // A section of the wrong type has told its mistake: that its keys are missing too would be noise.
      const inner = map === undefined && !isAbsent(node) ? () => {} : within(report, node);
      const values: Record<string, unknown> = {};
      for (const [key, field] of known) values[key] = field.parse(child(map, key), joined(path, key), inner);
      return values as { readonly [K in keyof F]: Infer<F[K]> };
    },
  };
}

function reportUnknown(map: YAMLMap | undefined, known: ReadonlyMap<string, unknown>, path: string, report: Report) {
  for (const pair of map?.items ?? []) {
    const node = pair.key as Node;
    const key = sourceOf(node) ?? '';
    if (known.has(key)) continue;
    const keys = known.size === 0 ? 'There are no keys here.' : `Allowed: ${[...known.keys()].join(', ')}.`;
    report(joined(path, key), node, `unknown key ${quote(key)}. ${keys}${suggestion(key, known.keys())}`);
  }
}

export const joined = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`);

/** The value of a key; undefined when the key is absent or has no value. */
export function child(map: YAMLMap | undefined, key: string): Node | undefined {
  const pair = map?.items.find((item) => sourceOf(item.key as Node) === key);
  return (pair?.value as Node | null | undefined) ?? undefined;
}

/** Mistakes without a place of their own (a missing key) get the place of what they are missing from. */
function within(report: Report, parent: Node | undefined): Report {
  return (path, node, message) => report(path, node ?? parent, message);
}

/**
 * A condition over the whole value, checked once its parts are right. `wrong(key, message)` reports at that key of the
 * section ('' for the section itself).
 */
export function refine<T>(
  schema: Schema<T>,
  check: (value: T, wrong: (key: string, message: string) => void) => void,
): Schema<T> {
  return {
    ...schema,
    parse(node, path, report) {
      let mistakes = 0;
      const value = schema.parse(node, path, (...mistakeArguments) => {
        mistakes++;
        report(...mistakeArguments);
      });
      if (mistakes === 0) {
        check(value, (key, message) => {
          const at = key
            .split('.')
            .reduce<Node | undefined>((here, part) => child(isMap(here) ? here : undefined, part), node);
          report(key === '' ? path : joined(path, key), at ?? node, message);
        });
      }
      return value;
    },
  };
}
