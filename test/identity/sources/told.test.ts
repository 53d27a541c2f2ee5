import { expect, it } from 'vitest';
import { Told } from '../../../src/identity/sources/told.ts';

it('has each message once in ten minutes, a few at most, and all of them again after it was cleared', () => {
  let nowMs = 0;
  const told = new Told(() => nowMs);
  const dueOf = (...messages: string[]) => messages.filter((message) => told.isDue(message));
  expect(dueOf('a', 'b', 'a', 'b')).toEqual(['a', 'b']);
  nowMs = 599_999;
  expect(dueOf('a', 'c')).toEqual(['c']);
  nowMs = 600_000;
  expect(dueOf('a', 'b', 'c')).toEqual(['a', 'b']);
  const many = Array.from({ length: 100 }, (_, i) => `request ${i}`);
  expect(dueOf(...many)).toHaveLength(5);
  expect(told.clear()).toBe(true);
  expect(told.clear()).toBe(false);
  expect(dueOf('a')).toEqual(['a']);
});
