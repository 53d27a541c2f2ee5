import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NUMBER_LENGTH, PageBuffer } from '../../../src/exporters/prometheus/page-buffer.ts';

const printed = (value: number): string => {
  const buffer = new PageBuffer(64);
  buffer.putValue(value);
  return Buffer.from(buffer.take()).toString();
};

describe('page buffer', () => {
  it.each([
    0,
    -0,
    1,
    9,
    10,
    99,
    100,
    999_999_999,
    1e9,
    1_000_000_001,
    10 ** 10,
    2 ** 31,
    2 ** 32,
    2 ** 53 - 1,
    2 ** 53,
    2 ** 53 + 2,
    2 ** 63,
    2 ** 64,
    1e20,
    1e21,
    0.1,
    1.5,
    1e-6,
    1e-7,
    5e-324,
    Number.MAX_VALUE,
    -1,
    -1e9,
    -0.5,
    Number.NaN,
  ])('prints %d as JavaScript does', (value) => {
    expect(printed(value)).toBe(`${value}\n`);
  });

  it('prints the infinities as the format has them', () => {
    expect([printed(Infinity), printed(-Infinity)]).toEqual(['+Inf\n', '-Inf\n']);
  });

  it('prints any double as JavaScript does, within the room that a number is given', () => {
    const double = fc.oneof(
      fc.double({ noDefaultInfinity: true }),
      fc.maxSafeInteger(),
      fc.integer().map((n) => n / 1e9),
    );
    fc.assert(
      fc.property(double, (value) => {
        expect(printed(value)).toBe(`${value}\n`);
        expect(printed(value).length).toBeLessThanOrEqual(NUMBER_LENGTH);
      }),
      { numRuns: 2000 },
    );
  });

  it('has room until it is full, and makes room in an empty chunk for what is larger', () => {
    const buffer = new PageBuffer(10);
    expect(buffer.room(10)).toBe(true);
    buffer.put(Buffer.from('12345'));
    expect(buffer.room(5)).toBe(true);
    expect(buffer.room(6)).toBe(false);
    expect(Buffer.from(buffer.take()).toString()).toBe('12345');
    const long = Buffer.from('x'.repeat(100));
    expect(buffer.room(100)).toBe(true);
    buffer.put(long);
    expect(Buffer.from(buffer.take()).equals(long)).toBe(true);
  });

  it('puts a part of a text', () => {
    const text = Buffer.from('abcdefghijklmnopqrstuvwxyz'.repeat(3));
    for (const [start, end] of [
      [0, 78],
      [3, 5],
      [10, 70],
      [0, 0],
    ] as const) {
      const buffer = new PageBuffer(100);
      buffer.putPart(text, start, end);
      expect(Buffer.from(buffer.take()).equals(text.subarray(start, end))).toBe(true);
    }
  });
});
