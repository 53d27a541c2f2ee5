import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineFrames } from '../../../../src/identity/sources/kubernetes/line-frames.ts';
import { ListFrames } from '../../../../src/identity/sources/kubernetes/list-frames.ts';

const LIMIT = 2 ** 20;

/** Text cut at these places, as bytes: characters may be cut in the middle. */
function chunks(text: string, cuts: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text);
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, i) => bytes.subarray(from, places[i] ?? bytes.length));
}

function readList(parts: readonly Buffer[], limit = LIMIT) {
  const frames = new ListFrames(limit);
  const items = parts.flatMap((part) => [...frames.push(part)].map((json) => JSON.parse(json.toString())));
  return { items, end: frames.end(), oversized: frames.oversized };
}

const cuts = fc.array(fc.nat(), { maxLength: 12 });
const indent = fc.constantFrom(undefined, 1, '\t');

describe('a list', () => {
  it('gives its items and its end, however it is cut and written', () => {
    fc.assert(
      fc.property(
        fc.array(fc.dictionary(fc.string(), fc.jsonValue())),
        fc.boolean(),
        cuts,
        indent,
        (items, itemsFirst, at, space) => {
          const metadata = { resourceVersion: '7', continue: 'next"]}', remainingItemCount: 1 };
          const list = itemsFirst ? { kind: 'PodList', items, metadata } : { kind: 'PodList', metadata, items };
          const text = JSON.stringify(list, null, space);
          expect(readList(chunks(text, at))).toEqual({
            items: JSON.parse(JSON.stringify(items)),
            end: { resourceVersion: '7', next: 'next"]}' },
            oversized: 0,
          });
        },
      ),
    );
  });

  it.each([
    ['no items', '{"metadata":{"resourceVersion":"7"},"items":[]}'],
    ['null for items', '{"metadata":{"resourceVersion":"7"},"items":null}'],
    ['no word of items', '{"metadata":{"resourceVersion":"7"}}'],
    ['a list of another name', '{"metadata":{"resourceVersion":"7"},"warnings":[{"a":1}],"items":[]}'],
    ['items further down', '{"metadata":{"resourceVersion":"7","x":{"items":[{"a":1}]}},"items":[]}'],
  ])('may have %s', (_case, text) => {
    expect(readList([Buffer.from(text)])).toEqual({ items: [], end: { resourceVersion: '7', next: '' }, oversized: 0 });
  });

  it.each([
    ['', 'its frame is no JSON'],
    ['{"metadata":{"resourceVersion":"7"},"items":[{"a":1}', 'its frame is no JSON'],
    ['{"metadata":{"resourceVersion":"7"},"items":[{"a":1}]', 'its frame is no JSON'],
    ['{"metadata":{},"items":[]}', 'no metadata.resourceVersion'],
    ['{"items":[]}', 'no metadata.resourceVersion'],
    ['[]', 'no metadata.resourceVersion'],
    ['<html>', 'its frame is no JSON'],
  ])('%j is none', (text, message) => {
    expect(() => readList([Buffer.from(text)])).toThrow(message);
  });

  it('is refused when it never begins', () => {
    const frames = new ListFrames(LIMIT);
    expect(() => [...frames.push(Buffer.from('x'.repeat(70_000)))]).toThrow('it does not begin as a list does');
  });

  it('passes over an item beyond the limit, and holds none of it', () => {
    const items = [{ a: 1 }, { big: 'x'.repeat(500) }, { b: '}' }];
    const text = JSON.stringify({ metadata: { resourceVersion: '7' }, items });
    const everyByte = Array.from({ length: text.length }, (_, i) => i);
    for (const at of [[], [300], everyByte]) {
      expect(readList(chunks(text, at), 100)).toMatchObject({ items: [{ a: 1 }, { b: '}' }], oversized: 1 });
    }
  });
});

describe('lines', () => {
  it('are those of the text, however it is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), cuts, (values, at) => {
        const text = values.map((value) => `${JSON.stringify(value)}\n`).join('');
        const frames = new LineFrames(LIMIT);
        const lines = chunks(text, at).flatMap((part) => [...frames.push(part)].map(String));
        expect(lines).toEqual(values.map((value) => JSON.stringify(value)));
      }),
    );
  });

  it('leave out empty ones, a last one without an end, and those beyond the limit', () => {
    const frames = new LineFrames(5);
    const lines = ['a\n\nbb', 'bb\nlonger', ' than five\nc\n', 'half'].flatMap((part) =>
      [...frames.push(Buffer.from(part))].map(String),
    );
    expect(lines).toEqual(['a', 'bbbb', 'c']);
    expect(frames.oversized).toBe(1);
  });
});
