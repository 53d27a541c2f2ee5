/**
 * `${env:NAME}` and `${env:NAME:-default}` in values, as the Collector expands them: `${NAME}` is short for
 * `${env:NAME}`, `$$` is a plain `$`, a `$` before anything else stays. A value that is one expansion and nothing else
 * takes the YAML type of the variable's text (a number, a list, …); a string key takes the text itself. Unlike there, an
 * unset variable without a default is a mistake, and text from a variable is not expanded again.
 */
import { isAlias, isMap, isScalar, isSeq, type Node, parseDocument, Scalar, visit } from 'yaml';
import { markExpanded, markReported, quote } from '../schema/nodes.ts';
import type { Report } from '../schema/types.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

const NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** Expands all values below `root` in place (keys are left alone) and returns the root, which may be another node. */
export function expandTree(root: Node, environment: Environment, report: Report): Node {
  // Aliased nodes are met several times: each is expanded once.
  const done = new Map<Node, Node>();
  const walk = (node: Node, path: string): Node => {
    const known = done.get(node);
    if (known !== undefined) return known;
    const result = isScalar(node) ? expandScalar(node, environment, (message) => report(path, node, message)) : node;
    done.set(node, result);
    done.set(result, result);
    if (result !== node) return result;
    if (isMap(node)) {
      for (const pair of node.items) {
        const key = String((pair.key as Scalar).value);
        const value = pair.value as Node | null | undefined;
        if (value) pair.value = walk(value, path === '' ? key : `${path}.${key}`);
      }
    } else if (isSeq(node)) node.items = node.items.map((item, i) => walk(item as Node, `${path}[${i}]`));
    return node;
  };
  return walk(root, '');
}

function expandScalar(node: Scalar, environment: Environment, wrong: (message: string) => void): Node {
  if (typeof node.value !== 'string' || !node.value.includes('$')) return node;
  const written = node.value;
  let mistaken = false;
  const { text, whole } = expandText(written, environment, (message) => {
    mistaken = true;
    wrong(message);
  });
  const result = whole && !mistaken ? typed(text) : new Scalar(text);
  place(result, node);
  if (mistaken) markReported(result);
  else if (whole) markExpanded(result, text, written);
  return result;
}

interface Expansion {
  readonly text: string;
  /** One `${…}` and nothing around it. */
  readonly whole: boolean;
}

function expandText(written: string, environment: Environment, wrong: (message: string) => void): Expansion {
  let text = '';
  let whole = false;
  for (let i = 0; i < written.length; ) {
    const next = written.indexOf('$', i);
    if (next === -1) return { text: text + written.slice(i), whole: false };
    text += written.slice(i, next);
    if (written[next + 1] === '$') {
      text += '$';
      i = next + 2;
    } else if (written[next + 1] === '{') {
      const end = closingBrace(written, next + 2);
      if (end === -1) {
        wrong(`${quote(written.slice(next))} has no closing brace. Write \${env:NAME}, or $$ for a plain $.`);
        return { text, whole: false };
      }
      text += lookUp(written.slice(next + 2, end), environment, wrong);
      whole = next === 0 && end === written.length - 1;
      i = end + 1;
    } else {
      text += '$';
      i = next + 1;
    }
  }
  return { text, whole };
}

/** Where the brace opened before `from` closes; a default may hold expansions of its own. */
function closingBrace(text: string, from: number): number {
  let depth = 1;
  for (let i = from; i < text.length; i++) {
    if (text[i] === '$' && text[i + 1] === '$') i++;
    else if (text[i] === '$' && text[i + 1] === '{') depth++;
    else if (text[i] === '}' && --depth === 0) return i;
  }
  return -1;
}

/** `inner` is what stands between the braces. */
function lookUp(inner: string, environment: Environment, wrong: (message: string) => void): string {
  const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]+):(?!-)/.exec(inner);
  if (scheme !== null && scheme[1] !== 'env') {
    wrong(`\${${inner}} has the scheme ${quote(scheme[1]!)}. Allowed: \${env:NAME} and \${env:NAME:-default}.`);
    return '';
  }
  const reference = scheme === null ? inner : inner.slice(scheme[0].length);
  const split = reference.indexOf(':-');
  const name = split === -1 ? reference : reference.slice(0, split);
  if (!NAME.test(name)) {
    wrong(`\${${inner}} names no environment variable. Allowed: \${env:NAME}, a name of letters, digits and _.`);
    return '';
  }
  const value = Object.hasOwn(environment, name) ? environment[name] : undefined;
  // As in the Collector: the default is for a variable that is unset, not for an empty one.
  if (value !== undefined) return value;
  if (split !== -1) return expandText(reference.slice(split + 2), environment, wrong).text;
  wrong(`the environment variable ${name} is not set. Set it, or write a default: \${env:${name}:-default}.`);
  return '';
}

/** Text → what it is in YAML; what is no YAML (or leans on anchors or tags) is text. */
function typed(text: string): Node {
  try {
    const document = parseDocument(text, { version: '1.2', prettyErrors: false, logLevel: 'silent' });
    const aliases: unknown[] = [];
    visit(document, { Alias: (_key, alias) => void aliases.push(alias) });
    const problems = document.errors.length + document.warnings.length + aliases.length;
    if (problems === 0) return (document.contents as Node | null) ?? new Scalar(null);
  } catch (error) {
    // Only a value nested so deeply that the parser's stack ends; then it is text, too.
    if (!(error instanceof RangeError)) throw error;
  }
  return new Scalar(text);
}

/** All of an expanded value stands where its expression stood. */
function place(node: Node, original: Node): void {
  visit(node, {
    Node: (_key, inner) => {
      if (!isAlias(inner)) inner.range = original.range ?? null;
    },
  });
}
