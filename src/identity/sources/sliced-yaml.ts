/**
 * Reads a large YAML (or JSON) map of lists without blocking the event loop: lexed and parsed in slices, and each list
 * item composed by itself, when it is asked for. 10,000 workloads are 2 s of work in one block otherwise.
 */
import { Composer, type CST, isMap, isSeq, Lexer, LineCounter, type Node, Parser, type YAMLSeq } from 'yaml';

/** Lexemes between two looks at the clock. */
const LEXEMES_A_LOOK = 256;

export interface SlicedDocument {
  /** Top-level keys with values; the items of lists are empty here, see `items`. */
  readonly sections: readonly Section[];
  readonly mistakes: readonly SyntaxMistake[];
  readonly line: (offset: number) => number;
}

export interface Section {
  readonly key: string;
  readonly keyNode: Node;
  /** Of a list: its items, each composed when asked for. */
  readonly items?: readonly (() => ComposedItem)[];
  /** Of anything else. */
  readonly value?: Node | undefined;
}

interface ComposedItem {
  readonly node: Node | undefined;
  readonly mistakes: readonly SyntaxMistake[];
}

interface SyntaxMistake {
  readonly offset: number;
  readonly message: string;
}

/** `breathe` is awaited often; it gives the event loop its turn when it is due. */
export async function readSliced(text: string, breathe: () => Promise<void> | undefined): Promise<SlicedDocument> {
  const lines = new LineCounter();
  const line = (offset: number) => lines.linePos(offset).line;
  const tokens: CST.Token[] = [];
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  let lexemes = 0;
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token);
    if (++lexemes % LEXEMES_A_LOOK === 0) await breathe();
  }
  for (const token of parser.end()) tokens.push(token);

  const lists = new Map<string, readonly CST.Token[]>();
  const documents = [
    ...new Composer().compose(
      tokens.map((token) => withoutItems(token, lists)),
      true,
      text.length,
    ),
  ];
  const mistakes = documents.flatMap(({ errors }) => errors.map(({ pos, message }) => ({ offset: pos[0], message })));
  const root = documents[0]?.contents;
  if (documents.length > 1) mistakes.push({ offset: documents[1]!.range[0], message: 'a second document begins here' });
  if (mistakes.length > 0 || !isMap(root)) {
    if (mistakes.length === 0)
      mistakes.push({ offset: 0, message: 'the file is not a map with the keys workloads and services' });
    return { sections: [], mistakes, line };
  }
  const sections = root.items.map((pair): Section => {
    const keyNode = pair.key as Node;
    const key = String((keyNode as { value?: unknown }).value);
    const value = (pair.value ?? undefined) as Node | undefined;
    if (!isSeq(value)) return { key, keyNode, value };
    return { key, keyNode, items: (lists.get(key) ?? []).map((token) => () => compose(token, value)) };
  });
  return { sections, mistakes, line };
}

/** The document's token with the items of its top-level lists taken out into `lists`. */
function withoutItems(token: CST.Token, lists: Map<string, readonly CST.Token[]>): CST.Token {
  if (token.type !== 'document' || !token.value || !isCollection(token.value)) return token;
  const root = token.value;
  const items = root.items.map((item) => {
    const list = item.value;
    const key = item.key && 'source' in item.key ? keyText(item.key) : undefined;
    if (key === undefined || !list || !isList(list)) return item;
    lists.set(
      key,
      list.items.flatMap((entry) => entry.value ?? []),
    );
    return { ...item, value: { ...list, items: list.items.map((entry) => withoutValue(entry)) } };
  });
  return { ...token, value: { ...root, items } as CST.Token } as CST.Token;
}

/** Keeps a list's structure for the composer to check, with a null in the place of what an item holds. */
function withoutValue<T extends { value?: CST.Token }>(item: T): T {
  if (!item.value) return item;
  return { ...item, value: { type: 'scalar', offset: item.value.offset, indent: 0, source: 'null' } as CST.Token };
}

function compose(token: CST.Token, list: YAMLSeq): ComposedItem {
  const document: CST.Document = { type: 'document', offset: list.range?.[0] ?? 0, start: [], value: token as never };
  const [composed] = new Composer().compose([document], true);
  return {
    node: composed?.contents ?? undefined,
    mistakes: composed?.errors.map(({ pos, message }) => ({ offset: pos[0], message })) ?? [],
  };
}

const isCollection = (token: CST.Token): token is CST.BlockMap | CST.FlowCollection =>
  token.type === 'block-map' || (token.type === 'flow-collection' && token.start.source === '{');

const isList = (token: CST.Token): token is CST.BlockSequence | CST.FlowCollection =>
  token.type === 'block-seq' || (token.type === 'flow-collection' && token.start.source === '[');

/** A key as it is compared: quotes of JSON taken off. */
function keyText(token: CST.Token & { source: string }): string {
  return token.source.replace(/^(["'])(.*)\1$/, '$2');
}
