/** What holds when a key is absent, and what a key is for. */
import { type Node, parseDocument } from 'yaml';
import { isAbsent } from './nodes.ts';
import type { Schema } from './types.ts';

/** undefined when absent. */
export function optional<T>(schema: Schema<T>): Schema<T | undefined> {
  return {
    ...schema,
    absent: '',
    parse: (node, path, report) => (isAbsent(node) ? undefined : schema.parse(node, path, report)),
  };
}

/**
 * The default is YAML text, as a user would write it (`5s`, `[host]`, `""`): the documentation shows it, and the value
 * is what the schema makes of it, so the two cannot differ.
 *
 * @throws Error when the schema refuses the text: a mistake in the program.
 */
export function withDefault<T>(schema: Schema<T>, text: string): Schema<T> {
  const contents = parseDocument(text).contents as Node | null;
  const fill = (): T =>
    schema.parse(contents ?? undefined, 'default', (_path, _node, message) => {
      throw new Error(`The default ${text} is not ${schema.expects}: ${message}`);
    });
  fill();
  return {
    ...schema,
    absent: text,
    // Filled anew each time: two instances never share a list or a map.
    parse: (node, path, report) => (isAbsent(node) ? fill() : schema.parse(node, path, report)),
  };
}

export function described<T>(description: string, schema: Schema<T>): Schema<T> {
  return { ...schema, description };
}
