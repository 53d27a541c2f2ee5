import { describe, expect, it } from 'vitest';
import { boundText, familyHead, openMetricsOf } from '../../../src/exporters/prometheus/text-format.ts';
import { SeriesTable } from '../../../src/exporters/series-table.ts';
import { pageBytes, samples } from '../support/page.ts';
import { batch, peers } from '../support/pairs.ts';

const counter = {
  name: 'a_things',
  type: 'counter' as const,
  unit: 'By',
  help: 'Back\\slash, "quote"\nline',
  labels: [],
};

describe('family heads', () => {
  it('in text: counters with _total, the unit as a comment, help with two escapes', () => {
    expect(familyHead(counter, 'text')).toBe(
      '# HELP a_things_total Back\\\\slash, "quote"\\nline\n# UNIT a_things_total By\n# TYPE a_things_total counter\n',
    );
  });

  it('in OpenMetrics: families without _total, no unit, help with three escapes', () => {
    expect(familyHead(counter, 'openmetrics')).toBe(
      '# HELP a_things Back\\\\slash, \\"quote\\"\\nline\n# TYPE a_things counter\n',
    );
  });
});

describe('histogram bounds', () => {
  it.each([
    [0.00005, '0.00005', '5e-05'],
    [0.0001, '0.0001', '0.0001'],
    [0.00025, '0.00025', '0.00025'],
    [0.5, '0.5', '0.5'],
    [1, '1', '1.0'],
    [2.5, '2.5', '2.5'],
    [3600, '3600', '3600.0'],
    [1e21, '1e+21', '1e+21'],
    [1.5e-7, '1.5e-7', '1.5e-07'],
    [Infinity, '+Inf', '+Inf'],
  ])('%d is %s in text and %s in OpenMetrics', (bound, text, openmetrics) => {
    expect(boundText(bound, 'text')).toBe(text);
    expect(boundText(bound, 'openmetrics')).toBe(openmetrics);
  });
});

describe('text as OpenMetrics', () => {
  it('renames counters, keeps gauges whose names end as counters do, drops units', () => {
    const text = [
      '# HELP a_total Says "a"',
      '# UNIT a_total By',
      '# TYPE a_total counter',
      'a_total{x="# TYPE a_total counter"} 1',
      '# HELP b_total A gauge',
      '# TYPE b_total gauge',
      'b_total 2',
      '',
    ].join('\n');
    expect(openMetricsOf(text)).toBe(
      [
        '# HELP a Says \\"a\\"',
        '# TYPE a counter',
        'a_total{x="# TYPE a_total counter"} 1',
        '# HELP b_total A gauge',
        '# TYPE b_total gauge',
        'b_total 2',
        '',
      ].join('\n'),
    );
  });

  it('writes bounds in their canonical form and leaves alone what only looks like one', () => {
    const text =
      '# TYPE h histogram\nh_bucket{a="\\",le=\\"1",le="1"} 3\nh_bucket{le="+Inf"} 3\nh_bucket{le="0.00005"} 3\n';
    expect(openMetricsOf(text)).toBe(
      '# TYPE h histogram\nh_bucket{a="\\",le=\\"1",le="1.0"} 3\nh_bucket{le="+Inf"} 3\nh_bucket{le="5e-05"} 3\n',
    );
  });

  it('does not take a carriage return or a line separator in a label for the end of a line', () => {
    const text = '# TYPE a_total counter\na_total{x="\r# HELP a_total x\u2028# TYPE a_total counter"} 1\n';
    expect(openMetricsOf(text)).toBe(text.replace('# TYPE a_total', '# TYPE a'));
  });
});

describe('the OpenMetrics page', () => {
  const table = new SeriesTable({ version: '1.2.3' });
  table.consume(
    batch([
      {
        slot: 1,
        peers: peers(),
        counts: {
          opened: 2,
          failed: 1,
          aborted: 1,
          resets_sent: 1,
          sent: 11,
          duration: 1e6,
          connect: 1e5,
          min_rtt: 1e5,
        },
      },
    ]),
  );
  const page = pageBytes(table, '# HELP x_total X\n# TYPE x_total counter\nx_total 1\n', 'openmetrics').toString(
    'utf8',
  );

  it('ends with the end, once, and has no empty lines and no units', () => {
    expect(page.endsWith('\n# EOF\n')).toBe(true);
    expect(page.match(/# EOF/g)).toHaveLength(1);
    expect(page).not.toMatch(/\n\n|# UNIT/);
  });

  it('has each family once, its samples together behind its type, under names that its type allows', () => {
    const suffixes: Record<string, string[]> = {
      counter: ['_total'],
      gauge: [''],
      histogram: ['_count', '_sum', '_bucket'],
    };
    const seen = new Set<string>();
    let allowed: string[] = [];
    for (const line of page.split('\n').slice(0, -2)) {
      const type = /^# TYPE (\S+) (\S+)$/.exec(line);
      if (type !== null) {
        expect(seen).not.toContain(type[1]);
        seen.add(type[1]!);
        allowed = suffixes[type[2]!]!.map((suffix) => type[1] + suffix);
      } else if (!line.startsWith('# HELP ')) {
        expect(allowed).toContain(/^[a-z_]+/.exec(line)![0]);
      }
    }
    expect(seen.size).toBeGreaterThan(15);
    expect(seen).toContain('x');
  });

  it('has the same samples as the text page, but for how bounds are written', () => {
    const number = ({ labels: { le, ...labels }, ...rest }: ReturnType<typeof samples>[number]) => ({
      ...rest,
      labels,
      le: le === '+Inf' ? Infinity : Number(le),
    });
    const text = pageBytes(table, '# TYPE x_total counter\nx_total 1\n').toString('utf8');
    expect(samples(page).map(number)).toEqual(samples(text).map(number));
  });
});
