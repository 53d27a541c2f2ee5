/** The parser's tokens of a list: what of them an item is, and what is left when the items have been taken out. */
import type { CST } from 'yaml';

export type List = CST.BlockSequence | CST.FlowCollection;
export type ListItem = CST.CollectionItem;

export const isList = (token: CST.Token): token is List =>
  token.type === 'block-seq' || (token.type === 'flow-collection' && token.start.source === '[');

export const isOf = (wanted: CST.TokenType) => (token: CST.SourceToken) => token.type === wanted;

/** Until a flow list is over, the parser takes each of its items for the key of a pair to come. */
export function closed(item: ListItem): ListItem {
  const { start, key, sep, value } = item;
  const isPair = value || start.some(isOf('explicit-key-ind')) || sep?.some(isOf('map-value-ind'));
  if (!key || !sep || isPair) return item;
  const end = 'end' in key ? (key.end ?? []) : [];
  return { start, value: { ...key, end: [...end, ...sep] } as CST.Token };
}

/**
 * What of a list's structure the composer must check, with nothing in the places of what items hold. Ordinary items are left
 * out: 10,000 of them would be composed in one block of 60 ms. In a flow list each item's comma is checked against its
 * neighbours, so there it is all or nothing. In a block list mistakes are placed behind the item before, and the key that
 * comes next is measured from where the list ends, which its last item says.
 */
export function skeleton(list: List, nextKey: number | undefined): ListItem[] {
  const items: readonly ListItem[] = list.items;
  const block = list.type === 'block-seq';
  const odd = items.map((item, index) => !isOrdinary(item, block || index > 0 ? 1 : 0, block));
  if (!block) return odd.includes(true) ? items.map(withoutValue) : [];
  const kept = items.filter((_, index) => odd[index] || odd[index + 1]).map(withoutValue);
  if (nextKey !== undefined)
    kept.push({ start: [{ ...DASH, offset: nextKey }], value: { ...NOTHING, offset: nextKey } });
  return kept;
}

const DASH: CST.SourceToken = { type: 'seq-item-ind', offset: 0, indent: 0, source: '-' };
const NOTHING: CST.FlowScalar = { type: 'scalar', offset: 0, indent: 0, source: '' };

/** Whether there is nothing before an item but its `indicators` (dash or comma), spaces, line ends and comments. */
function isOrdinary({ start, key, sep, value }: ListItem, indicators: number, block: boolean): boolean {
  if (key || sep || !value) return false;
  let found = 0;
  /** A comment must stand apart from what is before it. */
  let apart = block;
  for (const { type, source } of start) {
    const blank = type === 'newline' || (type === 'space' && !source.includes('\t'));
    if (type === (block ? 'seq-item-ind' : 'comma')) found++;
    else if (!blank && !(type === 'comment' && apart)) return false;
    apart = blank;
  }
  return found === indicators;
}

export function withoutValue(item: ListItem): ListItem {
  if (!item.value) return item;
  return { ...item, value: { ...NOTHING, offset: item.value.offset } };
}
