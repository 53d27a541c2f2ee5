/** Looking at YAML nodes: what is there, in words, and what a whole-scalar `${env:…}` stood for. */
import { isMap, isScalar, isSeq, type Node } from 'yaml';

/** Text of nodes that came from a whole-scalar expansion: a string key takes this, whatever type the text looks like. */
const EXPANDED = new WeakMap<Node, { readonly text: string; readonly from: string }>();

/** `text` is the variable's value, `from` what stood in the file, as `${env:PORT}`. */
export function markExpanded(node: Node, text: string, from: string): void {
  EXPANDED.set(node, { text, from });
}

const expandedText = (node: Node): string | undefined => EXPANDED.get(node)?.text;

const REPORTED = new WeakSet<Node>();

/** The value could not be made out, and that has been told: more mistakes about it would be noise. */
export function markReported(node: Node): void {
  REPORTED.add(node);
}

export const isReported = (node: Node): boolean => REPORTED.has(node);

/** A key without a value, with `null` or with a variable that is empty counts as absent: its default applies. */
export function isAbsent(node: Node | undefined): node is undefined {
  return node === undefined || (isScalar(node) && node.value === null && !expandedText(node));
}

/** A scalar's text if it is a string, or came from a variable; undefined for other types. */
export function textOf(node: Node): string | undefined {
  const expanded = expandedText(node);
  if (expanded !== undefined) return expanded;
  return isScalar(node) && typeof node.value === 'string' ? node.value : undefined;
}

/** The text of a scalar of any type, as written: a quantity is told by its text, not by its YAML type. */
export function sourceOf(node: Node): string | undefined {
  const text = textOf(node);
  if (text !== undefined) return text;
  return isScalar(node) ? (node.source ?? String(node.value)) : undefined;
}

const LONGEST_SHOWN = 80;

/** What was found, for messages: `"nonsense"`, `the number 5`, `a map`. */
export function found(node: Node | undefined): string {
  if (isAbsent(node)) return 'nothing';
  const origin = EXPANDED.get(node);
  return origin === undefined ? foundPlain(node) : `${foundPlain(node)} (from ${origin.from})`;
}

function foundPlain(node: Node): string {
  if (isMap(node)) return 'a map';
  if (isSeq(node)) return 'a list';
  if (!isScalar(node)) return 'something else';
  if (typeof node.value === 'string') return quote(node.value);
  const source = node.source ?? String(node.value);
  return typeof node.value === 'boolean' ? source : `the number ${source}`;
}

/** ` (${env:NAME} is empty)` when a variable is why there is nothing. */
export function emptyOrigin(node: Node | undefined): string {
  const origin = node === undefined ? undefined : EXPANDED.get(node);
  return origin === undefined ? '' : ` (${origin.from} is empty)`;
}

/** In quotes, on one line, cut where it is too long to read. */
export function quote(text: string): string {
  const shown = text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
  return JSON.stringify(shown);
}
