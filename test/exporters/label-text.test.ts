import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { escapeLabelValue, renderLabels, renderMoreLabels } from '../../src/exporters/label-text.ts';

describe('label text', () => {
  it('escapes backslash, quote and line feed, and nothing else', () => {
    expect(escapeLabelValue('a\\b"c\nd\r\0é😀\'{},=')).toBe('a\\\\b\\"c\\nd\r\0é😀\'{},=');
  });

  it('keeps an escaped text apart from a value that looks escaped', () => {
    expect(escapeLabelValue('\\n')).toBe('\\\\n');
    expect(escapeLabelValue('\n')).toBe('\\n');
  });

  it('splits behind the last label', () => {
    const { bytes, split } = renderLabels(['a', 'b'], ['1', 'ü']);
    expect(Buffer.from(bytes).toString()).toBe('{a="1",b="ü"} ');
    expect(Buffer.from(bytes.subarray(split)).toString()).toBe('} ');
  });

  it.each([
    ['a', '{a="', '",b="2",c="3"} '],
    ['b', '{a="ü",b="', '",c="3"} '],
    ['c', '{a="ü",b="2",c="', '"} '],
  ])('splits in place of the value of %s, counted in bytes', (splitAt, head, tail) => {
    const { bytes, split } = renderLabels(['a', 'b', 'c'], ['ü', '2', '3'], splitAt);
    expect(Buffer.from(bytes.subarray(0, split)).toString()).toBe(head);
    expect(Buffer.from(bytes.subarray(split)).toString()).toBe(tail);
  });

  it('renders further labels behind a comma each', () => {
    expect(renderMoreLabels({})).toBe('');
    expect(renderMoreLabels({ direction: 'sent', le: '"' })).toBe(',direction="sent",le="\\""');
  });
});
