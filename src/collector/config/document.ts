/**
 * YAML text → a tree of maps, lists and scalars: syntax errors with their place, duplicate keys with both places,
 * aliases and `<<` merges resolved, so that what reads the tree meets three kinds of nodes only.
 */
import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type LineCounter,
  type Node,
  Pair,
  parseAllDocuments,
  visit,
  type YAMLMap,
  type YAMLParseError,
  type Document as YamlDocument,
} from 'yaml';
import { quote } from '../schema/nodes.ts';
import type { Mistakes } from './mistake.ts';

/** The root node; undefined when the file is empty or its YAML is broken (then `mistakes` says so). */
export function parseTree(text: string, lines: LineCounter, mistakes: Mistakes): Node | undefined {
  try {
    return parse(text, lines, mistakes);
  } catch (error) {
    // The parser and the walk below recurse: tens of thousands of nested brackets exhaust the stack.
    const reason = error instanceof RangeError ? 'it is nested too deeply' : (error as Error).message;
    mistakes.at('', 0, `the file cannot be read as YAML: ${reason}.`);
    return undefined;
  }
}

function parse(text: string, lines: LineCounter, mistakes: Mistakes): Node | undefined {
  const documents = parseAllDocuments(text, {
    version: '1.2',
    lineCounter: lines,
    prettyErrors: false,
    // Told below with the key's name and its first place.
    uniqueKeys: false,
    merge: true,
    logLevel: 'silent',
  });
  if ('empty' in documents) return undefined;
  const [first, second] = documents;
  const [wrong, ...others] = documents.flatMap(({ errors }) => errors);
  // Behind the first one the parser makes little sense of what is right: a brace too many is a mistake in every line.
  if (wrong !== undefined) {
    const more = others.length === 0 ? '' : ` ${others.length} more behind it, which may come of this one.`;
    mistakes.at(
      '',
      Math.min(wrong.pos[0], text.length),
      `not valid YAML: ${wrong.message}.${hint(text, wrong)}${more}`,
    );
  }
  for (const { pos, message } of documents.flatMap(({ warnings }) => warnings)) {
    mistakes.at('', Math.min(pos[0], text.length), `not valid YAML: ${message}.`);
  }
  if (second !== undefined) {
    const place = second.contents?.range?.[0] ?? second.range[0];
    mistakes.at('', place, 'a second YAML document begins before here. Write one configuration a file, without ---.');
  }
  if (first === undefined || mistakes.count > 0) return undefined;
  return new Resolver(first, lines, mistakes).resolve(first.contents ?? undefined, '');
}

/** Within braces or brackets, those of an expansion are YAML's. */
function hint(text: string, { pos: [at] }: YAMLParseError): string {
  const isExpansion = text[at] === '{' && text[at - 1] === '$';
  return isExpansion ? ` Within { } or [ ] write it in quotes: "\${env:NAME}".` : '';
}

/** All aliases at once, before the tree is changed: afterwards a walk over it would meet shared parts again and again. */
function aliasTargets(document: YamlDocument): ReadonlyMap<Alias, Node> {
  const anchors = new Map<string, Node>();
  const targets = new Map<Alias, Node>();
  visit(document, {
    Alias: (_key, alias) => {
      const target = anchors.get(alias.source);
      if (target !== undefined) targets.set(alias, target);
    },
    Value: (_key, node) => {
      // An anchor may be given again: an alias means the last one before it.
      if (node.anchor !== undefined) anchors.set(node.anchor, node);
    },
  });
  return targets;
}

/** Replaces aliases by what they stand for (shared, not copied: the tree becomes a graph without cycles). */
class Resolver {
  readonly #targets: ReadonlyMap<Alias, Node>;
  readonly #lines: LineCounter;
  readonly #mistakes: Mistakes;
  readonly #done = new Set<Node>();
  readonly #open = new Set<Node>();

  constructor(document: YamlDocument, lines: LineCounter, mistakes: Mistakes) {
    this.#targets = aliasTargets(document);
    this.#lines = lines;
    this.#mistakes = mistakes;
  }

  resolve(node: Node | undefined, path: string): Node | undefined {
    if (isAlias(node)) {
      const target = this.#targets.get(node);
      if (target === undefined || this.#open.has(target)) {
        const why = target === undefined ? 'names no anchor' : 'stands for a part of the file that contains it';
        this.#mistakes.at(path, node, `the alias *${node.source} ${why}.`);
        return undefined;
      }
      return this.resolve(target, path);
    }
    if (node === undefined || this.#done.has(node)) return node;
    this.#open.add(node);
    if (isMap(node)) this.#resolveMap(node, path);
    else if (isSeq(node)) node.items = node.items.map((item, i) => this.resolve(item as Node, `${path}[${i}]`));
    this.#open.delete(node);
    this.#done.add(node);
    return node;
  }

  #resolveMap(map: YAMLMap, path: string): void {
    const pairs = new Map<string, Pair>();
    const merged: { source: Node | undefined; key: Node }[] = [];
    for (const pair of map.items) {
      const keyNode = pair.key as Node;
      const resolved = this.resolve(keyNode, path);
      if (!isScalar(resolved)) {
        this.#mistakes.at(path, keyNode, 'a key is a list or a map. Allowed: keys of plain text.');
        continue;
      }
      const key = resolved.source ?? String(resolved.value);
      const keyPath = path === '' ? key : `${path}.${key}`;
      const value = this.resolve((pair.value as Node | null) ?? undefined, keyPath);
      if (key === '<<') merged.push({ source: value, key: keyNode });
      else if (pairs.has(key)) this.#duplicate(keyPath, key, keyNode, pairs.get(key)!.key as Node);
      else pairs.set(key, new Pair(resolved, value));
    }
    // What stands in the map itself wins over what is merged into it, wherever the `<<` stands.
    for (const { source, key } of merged) this.#merge(pairs, source, key, path);
    map.items = [...pairs.values()];
  }

  #duplicate(path: string, key: string, node: Node, first: Node): void {
    const { line } = this.#lines.linePos(first.range?.[0] ?? 0);
    this.#mistakes.at(path, node, `the key ${quote(key)} is there already, on line ${line}. Keep one of them.`);
  }

  #merge(pairs: Map<string, Pair>, source: Node | undefined, key: Node, path: string): void {
    for (const map of isSeq(source) ? (source.items as Node[]) : [source]) {
      if (!isMap(map)) {
        this.#mistakes.at(path, key, 'the merge key << stands before what is no map. Allowed: an alias to a map.');
        continue;
      }
      for (const pair of map.items) {
        const name =
          (pair.key as { source?: string; value: unknown }).source ?? String((pair.key as { value: unknown }).value);
        if (!pairs.has(name)) pairs.set(name, pair);
      }
    }
  }
}
