/* biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${env:…} is the grammar under test */
/** Expansion of `${env:…}`, and the types that expanded values take. */

import { describe, expect, it } from 'vitest';
import { isMap, LineCounter, type Node } from 'yaml';
import { parseTree } from '../../../src/collector/config/document.ts';
import { expandTree } from '../../../src/collector/config/expand.ts';
import { Mistakes } from '../../../src/collector/config/mistake.ts';
import { child } from '../../../src/collector/schema/composites.ts';
import {
  boolean,
  duration,
  integer,
  listOf,
  mapOfStrings,
  optional,
  type Schema,
  string,
  withDefault,
} from '../../../src/collector/schema.ts';

const ENVIRONMENT = {
  HOST: 'db.example',
  PORT: '15020',
  YES: 'true',
  EMPTY: '',
  LIST: '[a, b]',
  MAP: '{x: 1}',
  BROKEN: '[a, b',
  DOLLAR: 'a$b ${env:HOST} $$',
  NULL: 'null',
  ANCHORS: '[&a x, *a]',
  DEEP: '['.repeat(50_000),
};

function expand<T>(value: string, schema: Schema<T>): { value: T; mistakes: string[] } {
  const lines = new LineCounter();
  const mistakes = new Mistakes(lines);
  const root = expandTree(parseTree(`key: ${value}`, lines, mistakes) as Node, ENVIRONMENT, mistakes.at);
  const parsed = schema.parse(child(isMap(root) ? root : undefined, 'key'), 'key', mistakes.at);
  return { value: parsed, mistakes: mistakes.sorted().map(({ message }) => message) };
}

const text = (value: string) => expand(value, string({ empty: true }));

describe('text', () => {
  it.each([
    ['plain', 'plain'],
    ['http://${env:HOST}:${env:PORT}/x', 'http://db.example:15020/x'],
    ['${HOST}', 'db.example'],
    ['${env:NOPE:-other}', 'other'],
    ['a${env:NOPE:-}b', 'ab'],
    ['${env:NOPE:-a:-b}', 'a:-b'],
    ['${NOPE:-short}', 'short'],
    ['${env:NOPE:-${env:HOST}}', 'db.example'],
    ['${env:NOPE:-${env:NEITHER:-last}}!', 'last!'],
    ['a${env:EMPTY:-unused}b', 'ab'],
    ['$$', '$'],
    ['a$$b', 'a$b'],
    ['$${env:HOST}', '${env:HOST}'],
    ['$$${env:HOST}', '$db.example'],
    ['$HOME', '$HOME'],
    ['5$', '5$'],
    ['"${env:PORT}"', '15020'],
    ['${env:PORT}', '15020'],
    ['${env:YES}', 'true'],
    ['${env:LIST}', '[a, b]'],
    ['${env:NULL}', 'null'],
    ['${env:DOLLAR}', 'a$b ${env:HOST} $$'],
    ['|\n  one ${env:HOST}\n  two\n', 'one db.example\ntwo\n'],
  ])('%s is %s', (written, expected) => {
    expect(text(written)).toEqual({ value: expected, mistakes: [] });
  });
});

describe('a whole-scalar expansion takes the type of the text', () => {
  it('integer', () => expect(expand('${env:PORT}', integer())).toEqual({ value: 15020, mistakes: [] }));
  it('quoted integer', () => expect(expand("'${env:PORT}'", integer())).toEqual({ value: 15020, mistakes: [] }));
  it('default', () => expect(expand('${env:NOPE:-7}', integer())).toEqual({ value: 7, mistakes: [] }));
  it('boolean', () => expect(expand('${env:YES}', boolean())).toEqual({ value: true, mistakes: [] }));
  it('duration', () => expect(expand('${env:NOPE:-1m}', duration())).toEqual({ value: 60_000, mistakes: [] }));
  it('list', () => expect(expand('${env:LIST}', listOf(string()))).toEqual({ value: ['a', 'b'], mistakes: [] }));
  it('map', () => expect(expand('${env:MAP}', mapOfStrings())).toEqual({ value: { x: '1' }, mistakes: [] }));
  it('inside a list', () =>
    expect(expand('[z, "${env:HOST}"]', listOf(string()))).toEqual({ value: ['z', 'db.example'], mistakes: [] }));
  it('empty: the default', () =>
    expect(expand('${env:EMPTY}', withDefault(integer(), '3'))).toEqual({ value: 3, mistakes: [] }));
  it('empty: nothing', () =>
    expect(expand('${env:EMPTY}', optional(string()))).toEqual({ value: undefined, mistakes: [] }));
});

describe('what is no YAML is text', () => {
  it.each(['BROKEN', 'ANCHORS', 'DEEP'])('%s', (name) => {
    expect(text(`\${env:${name}}`)).toEqual({ value: ENVIRONMENT[name as keyof typeof ENVIRONMENT], mistakes: [] });
    expect(expand(`\${env:${name}}`, listOf(string())).mistakes[0]).toMatch(/^found ".*" \(from \$\{env:\w+\}\)/);
  });
});

it('one mistake a value: what could not be expanded is not judged by the schema', () => {
  expect(expand('a${env:NOPE}', integer()).mistakes).toEqual([
    'the environment variable NOPE is not set. Set it, or write a default: ${env:NOPE:-default}.',
  ]);
});

it('does not take inherited properties for variables', () => {
  expect(expand('${env:toString}', string()).mistakes[0]).toMatch(/^the environment variable toString is not set/);
});

it('expands an aliased value once', () => {
  const lines = new LineCounter();
  const mistakes = new Mistakes(lines);
  const tree = parseTree('a: &x "$$$$"\nb: *x', lines, mistakes) as Node;
  const root = expandTree(tree, {}, mistakes.at);
  const read = (key: string) => string().parse(child(isMap(root) ? root : undefined, key), key, mistakes.at);
  expect([read('a'), read('b'), mistakes.count]).toEqual(['$$', '$$', 0]);
});
