/**
 * One string for equal ones: decoding makes a new string of each namespace, node and owner's name with each pod. Bounded,
 * since pods come and go with names of their own.
 */
const MAX_TEXTS = 16_384;

const texts = new Map<string, string>();

export function shared(text: string): string {
  const known = texts.get(text);
  if (known !== undefined) return known;
  if (texts.size >= MAX_TEXTS) texts.clear();
  texts.set(text, text);
  return text;
}
