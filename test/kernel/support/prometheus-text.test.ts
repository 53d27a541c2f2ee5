import { expect, test } from 'vitest';
import { Page } from './prometheus-text.ts';

test('reads names, labels with escapes, and values', () => {
  const page = new Page(
    '# HELP a_total says "a"\n# TYPE a_total counter\na_total{b="x\\"y\\\\z\\n",c=""} 9007199254740991\na_total 2.5\nh_bucket{le="+Inf"} +Inf\n',
  );
  expect(page.types.get('a_total')).toBe('counter');
  expect(page.samples).toEqual([
    { name: 'a_total', labels: { b: 'x"y\\z\n', c: '' }, value: 9007199254740991 },
    { name: 'a_total', labels: {}, value: 2.5 },
    { name: 'h_bucket', labels: { le: '+Inf' }, value: Infinity },
  ]);
  expect(page.sum('a_total', { c: '' })).toBe(9007199254740991);
  expect(page.sum('nothing')).toBe(0);
});

test.for([
  'a{b="x} 1',
  'a{b="x"c="y"} 1',
  'a{b="\\t"} 1',
  'a{b="x",b="y"} 1',
  'a  1',
  'a one',
  'a 1 2 3',
  '1a 1',
  'a 1\na 1',
  'a{b="1",c="2"} 1\na{c="2",b="1"} 1',
])('refuses what a scraper would refuse: %j', (text) => {
  expect(() => new Page(`${text}\n`)).toThrow();
});
