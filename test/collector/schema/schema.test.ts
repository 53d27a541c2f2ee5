/** Values that schemas take; what they refuse stands in config/mistakes.test.ts. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Node, parseDocument } from 'yaml';
import { referenceRows, renderReference } from '../../../src/collector/config/reference.ts';
import { nearest } from '../../../src/collector/schema/nearest.ts';
import {
  boolean,
  described,
  duration,
  endpoint,
  extensionId,
  integer,
  listOf,
  mapOfStrings,
  number,
  object,
  oneOf,
  optional,
  refine,
  type Schema,
  size,
  string,
  url,
  withDefault,
} from '../../../src/collector/schema.ts';
import { FACTORIES } from '../factories.ts';

function parse<T>(schema: Schema<T>, yaml: string): { value: T; mistakes: string[] } {
  const mistakes: string[] = [];
  const node = parseDocument(yaml).contents as Node | null;
  const value = schema.parse(node ?? undefined, '', (path, _node, message) => mistakes.push(`${path}: ${message}`));
  return { value, mistakes };
}

const takes = <T>(schema: Schema<T>, yaml: string): T => {
  const { value, mistakes } = parse(schema, yaml);
  expect(mistakes).toEqual([]);
  return value;
};

const refuses = (schema: Schema<unknown>, yaml: string): void => {
  expect(parse(schema, yaml).mistakes).toHaveLength(1);
};

describe('durations are milliseconds, in Go’s syntax', () => {
  it.each([
    ['5s', 5000],
    ['250ms', 250],
    ['1m30s', 90_000],
    ['100us', 0.1],
    ['100µs', 0.1],
    ['100μs', 0.1],
    ['1500ns', 0.0015],
    ['1.5h', 5_400_000],
    ['.5s', 500],
    ['1.s', 1000],
    ['2h45m', 9_900_000],
    ['0', 0],
    ['"0s"', 0],
  ])('%s', (yaml, ms) => expect(takes(duration(), yaml)).toBeCloseTo(ms, 9));

  it.each(['5', '5 s', '-5s', 's', '5S', '1d', '1s 2ms', '""', '5s5', '1e3s', '.s', 'true', '[5s]'])('not %s', (yaml) =>
    refuses(duration(), yaml),
  );

  it('keeps to its range, limits included', () => {
    const schema = duration({ min: '100ms', max: '1m' });
    expect([takes(schema, '100ms'), takes(schema, '60s')]).toEqual([100, 60_000]);
    refuses(schema, '99ms');
    refuses(schema, '61s');
    expect(schema.expects).toBe('a duration such as 5s, 250ms or 1m30s, from 100ms to 1m');
  });

  it('is no longer than a timer can be, and says so', () => {
    expect(takes(duration(), '576h')).toBe(24 * 24 * 3_600_000);
    expect(parse(duration(), '577h').mistakes).toEqual([expect.stringContaining('The longest is 576h.')]);
  });

  it('reads what Go prints', () => {
    fc.assert(
      fc.property(fc.nat(575), fc.nat(59), fc.nat(59), (h, m, s) => {
        expect(takes(duration(), `${h}h${m}m${s}s`)).toBe(((h * 60 + m) * 60 + s) * 1000);
      }),
    );
  });
});

describe('sizes are bytes', () => {
  it.each([
    ['16MiB', 16 << 20],
    ['4KiB', 4096],
    ['4 KiB', 4096],
    ['512B', 512],
    ['1.5GiB', 1.5 * 2 ** 30],
    ['2TiB', 2 ** 41],
    ['0', 0],
  ])('%s', (yaml, bytes) => expect(takes(size(), yaml)).toBe(bytes));

  it.each(['16', '16MB', '16M', '-1KiB', '1.5B', '9999999TiB', 'KiB', '""', '{}'])('not %s', (yaml) =>
    refuses(size(), yaml),
  );
});

describe('endpoints', () => {
  it.each([
    ['localhost:15020', 'localhost', 15020],
    ['0.0.0.0:1', '0.0.0.0', 1],
    ['"[::1]:15020"', '::1', 15020],
    ['"[::ffff:10.0.0.1]:80"', '::ffff:10.0.0.1', 80],
    ['my_host.example.:65535', 'my_host.example.', 65535],
  ])('%s', (yaml, host, port) => expect(takes(endpoint(), yaml)).toEqual({ host, port }));

  it.each([
    'localhost',
    'localhost:',
    'localhost:0',
    'localhost:65536',
    'a b:1',
    '"[::g]:1"',
    '"[]:1"',
    'user@host:1',
    '1.2.3:80',
    'host:1:2',
    '-a:1',
    '8080',
  ])('not %s', (yaml) => refuses(endpoint(), yaml));

  it('port 0 where the kernel may choose', () =>
    expect(takes(endpoint({ anyPort: true }), 'localhost:0').port).toBe(0));
});

describe('the other values', () => {
  it('url', () => {
    expect(takes(url(), 'https://c.example:4318/v1/')).toBe('https://c.example:4318/v1');
    expect(takes(url(['grpc']), 'grpc://c:1')).toBe('grpc://c:1');
    refuses(url(), 'http://');
    refuses(url(), 'http://a b');
  });

  it('integer and number', () => {
    expect([takes(integer(), '0x10'), takes(integer(), '1e3'), takes(integer(), '-3'), takes(number(), '1.5')]).toEqual(
      [16, 1000, -3, 1.5],
    );
    for (const yaml of ['9007199254740993', '.inf', '.nan', '1_000', '1.5']) refuses(integer(), yaml);
    for (const yaml of ['.inf', '.nan', 'x']) refuses(number(), yaml);
    refuses(number({ min: 0, max: 1 }), '1.01');
  });

  it('string, boolean, word, extension', () => {
    expect(takes(string(), '"5"')).toBe('5');
    expect(takes(string({ pattern: /^a/, expects: 'an a' }), 'ab')).toBe('ab');
    refuses(string({ pattern: /^a/, expects: 'an a' }), 'b');
    expect(takes(boolean(), 'false')).toBe(false);
    expect(takes(oneOf(['a', 'b']), 'b')).toBe('b');
    expect([takes(extensionId(), 'file_storage/x'), takes(extensionId(), '""')]).toEqual(['file_storage/x', '']);
  });

  it('list and map, with every mistake of theirs', () => {
    expect(takes(listOf(integer()), '[1, 2]')).toEqual([1, 2]);
    expect(parse(listOf(integer()), '[a, 1, b]').mistakes.map((line) => line.slice(0, 10))).toEqual([
      '[0]: found',
      '[2]: found',
    ]);
    expect(takes(mapOfStrings(), '{a: b, c: 5, __proto__: x}')).toEqual(
      JSON.parse('{"a": "b", "c": "5", "__proto__": "x"}'),
    );
  });
});

describe('objects', () => {
  const schema = object({
    required: string(),
    timeout: withDefault(duration(), '5s'),
    maybe: optional(integer()),
    inner: object({ list: withDefault(listOf(string()), '[a]') }),
  });

  it('fill in defaults', () => {
    expect(takes(schema, '{required: x}')).toEqual({
      required: 'x',
      timeout: 5000,
      maybe: undefined,
      inner: { list: ['a'] },
    });
    expect(takes(schema, '{required: x, timeout: , inner: }')).toEqual(takes(schema, '{required: x}'));
  });

  it('never share a default', () => {
    expect(takes(schema, '{required: x}').inner.list).not.toBe(takes(schema, '{required: x}').inner.list);
  });

  it('tell every mistake', () => {
    expect(
      parse(schema, '{timeout: 5, maybe: x, inner: {lst: []}, other: 1}').mistakes.map((line) => line.split(':')[0]),
    ).toEqual(['other', 'required', 'timeout', 'maybe', 'inner.lst']);
    expect(parse(schema, '').mistakes).toEqual(['required: missing. Required: text that is not empty.']);
  });

  it('check conditions over several keys, once the keys are right', () => {
    const ordered = refine(object({ min: integer(), max: integer() }), ({ min, max }, wrong) => {
      if (min > max) wrong('min', `is ${min}, above max (${max})`);
    });
    expect(parse(ordered, '{min: 2, max: 1}').mistakes).toEqual(['min: is 2, above max (1)']);
    expect(parse(ordered, '{min: 2, max: x}').mistakes).toHaveLength(1);
    expect(takes(ordered, '{min: 1, max: 2}')).toEqual({ min: 1, max: 2 });
  });

  it('a default that its schema refuses is found when the program starts', () => {
    expect(() => withDefault(duration(), '5')).toThrow(/^The default 5 is not a duration/);
  });
});

describe('the nearest word', () => {
  it.each([
    ['tiemout', 'timeout'],
    ['Timeout', 'timeout'],
    ['timeouts', 'timeout'],
    ['end', 'endpoint'],
    ['endpont', 'endpoint'],
    ['xyz', undefined],
    ['', undefined],
  ])('to %s is %s', (word, expected) => expect(nearest(word, ['timeout', 'endpoint'])).toBe(expected));
});

describe('the reference', () => {
  it('has a row a key, nested ones by their path', () => {
    const schema = object({
      a: described('What a is', withDefault(duration(), '5s')),
      b: object({ c: string(), d: optional(integer()) }),
    });
    expect(referenceRows(schema)).toEqual([
      { key: 'a', expects: duration().expects, absent: '5s', description: 'What a is' },
      { key: 'b.c', expects: string().expects, absent: undefined, description: '' },
      { key: 'b.d', expects: integer().expects, absent: '', description: '' },
    ]);
  });

  it('is Markdown, a table a component', () => {
    const text = renderReference(FACTORIES);
    expect(text).toContain(
      '## exporters\n\n### `prometheus`\n\nThe page.\n\n| key | value | default | |\n|---|---|---|---|\n',
    );
    expect(text).toContain('| `max_pairs` | a whole number from 1 to 1000000 | `32768` | Slots |\n');
    expect(text).toContain(
      '| `endpoint` | a URL such as http://localhost:4318, scheme http or https | required | Of the collector |\n',
    );
    expect(text).toContain('### `redact`\n\nLogs only.\n\nNo keys.\n');
  });
});
