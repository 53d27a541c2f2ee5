/**
 * Reads a large YAML (or JSON) map of lists without blocking the event loop, and without holding all of it: lexed and
 * parsed in slices, and each list item is composed and handed on as soon as it is over. 10,000 workloads are 2 s of work in
 * one block and 300 MB otherwise.
 */
import { Composer, type CST, isMap, Lexer, type LineCounter, type Node, Parser } from 'yaml';
import { closed, isList, isOf, type List, type ListItem, skeleton, withoutValue } from './list-tokens.ts';

/** Lexemes between two looks at the clock. */
const LEXEMES_A_LOOK = 256;

export interface SlicedDocument {
  /** Top-level keys with values; the items of lists have been handed on. */
  readonly sections: readonly Section[];
  /** Of the document's structure. What was handed on is worth nothing if there are any. */
  readonly mistakes: readonly SyntaxMistake[];
}

export interface Section {
  readonly key: string;
  readonly keyNode: Node;
  readonly value: Node | undefined;
}

/** Gets an item of a list, and what is wrong with its syntax. */
export type TakeItem = (node: Node | undefined, mistakes: readonly SyntaxMistake[]) => void;

export interface SyntaxMistake {
  readonly offset: number;
  readonly message: string;
}

/**
 * `takers` has the top-level keys whose lists are wanted; `lines` learns where lines begin, ahead of what is handed on.
 * `breathe` is awaited often; it gives the event loop its turn when it is due.
 */
export async function readSliced(
  text: string,
  lines: LineCounter,
  breathe: () => Promise<void> | undefined,
  takers: ReadonlyMap<string, TakeItem>,
): Promise<SlicedDocument> {
  const tokens: CST.Token[] = [];
  const parser = new Parser(lines.addNewLine);
  const lists = new Lists(takers);
  lines.addNewLine(0);
  let lexemes = 0;
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token);
    if (++lexemes % LEXEMES_A_LOOK !== 0) continue;
    const [document, root, list] = parser.stack;
    if (document?.type === 'document' && root && isCollection(root) && list && isList(list)) {
      const entry = root.items.at(-1);
      if (entry && !entry.value && entry.sep?.some(isOf('map-value-ind')))
        lists.take(entry, list, list.items.length - STILL_CHANGING);
    }
    await breathe();
  }
  for (const token of parser.end()) tokens.push(token);

  await breathe();
  const skeletons = tokens.map((token) => withoutItems(token, lists));
  await breathe();
  const documents = [...new Composer().compose(skeletons, true, text.length)];
  const mistakes = documents.flatMap(({ errors }) => errors.map(({ pos, message }) => ({ offset: pos[0], message })));
  const root = documents[0]?.contents;
  if (documents.length > 1) mistakes.push({ offset: documents[1]!.range[0], message: 'a second document begins here' });
  if (mistakes.length > 0 || !isMap(root)) {
    if (mistakes.length === 0)
      mistakes.push({ offset: 0, message: 'the file is not a map with the keys workloads and services' });
    return { sections: [], mistakes };
  }
  const sections = root.items.map((pair): Section => {
    const keyNode = pair.key as Node;
    const key = String((keyNode as { value?: unknown }).value);
    return { key, keyNode, value: (pair.value ?? undefined) as Node | undefined };
  });
  return { sections, mistakes };
}

/** The parser may yet move comments from behind the last item of a list to the one before. */
const STILL_CHANGING = 2;

/** Takes items out of lists, in their order, each once. */
class Lists {
  readonly #takers: ReadonlyMap<string, TakeItem>;
  readonly #taken = new Map<List, number>();

  constructor(takers: ReadonlyMap<string, TakeItem>) {
    this.#takers = takers;
  }

  /** Those before `end` of the list that is, or is going to be, the value of `entry`. */
  take(entry: ListItem, list: List, end: number): void {
    const take = entry.key && 'source' in entry.key ? this.#takers.get(keyText(entry.key)) : undefined;
    const items: ListItem[] = list.items;
    let index = this.#taken.get(list) ?? 0;
    for (; index < end; index++) {
      const item = closed(items[index]!);
      if (item.value && take) compose(item.value, take);
      items[index] = withoutValue(item);
    }
    this.#taken.set(list, index);
  }
}

/** The document's token with the items of its top-level lists taken out. */
function withoutItems(token: CST.Token, lists: Lists): CST.Token {
  if (token.type !== 'document' || !token.value || !isCollection(token.value)) return token;
  const root = token.value;
  const items = root.items.map((item, index) => {
    const list = item.value;
    if (!list || !isList(list)) return item;
    lists.take(item, list, list.items.length);
    return { ...item, value: { ...list, items: skeleton(list, root.items[index + 1]?.key?.offset) } as List };
  });
  return { ...token, value: { ...root, items } as CST.Token } as CST.Token;
}

function compose(token: CST.Token, take: TakeItem): void {
  const document: CST.Document = { type: 'document', offset: token.offset, start: [], value: token as never };
  const [composed] = new Composer().compose([document], true);
  take(
    composed?.contents ?? undefined,
    composed?.errors.map(({ pos, message }) => ({ offset: pos[0], message })) ?? [],
  );
}

const isCollection = (token: CST.Token): token is CST.BlockMap | CST.FlowCollection =>
  token.type === 'block-map' || (token.type === 'flow-collection' && token.start.source === '{');

/** A key as it is compared: quotes of JSON taken off. */
function keyText(token: CST.Token & { source: string }): string {
  return token.source.replace(/^(["'])(.*)\1$/, '$2');
}
