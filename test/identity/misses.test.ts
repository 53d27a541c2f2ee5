import { expect, it } from 'vitest';
import { Misses } from '../../src/identity/misses.ts';

const KEEP = 1_000;

it('asks for one search, whoever asks meanwhile', () => {
  const misses = new Misses<number>(KEEP);
  expect([misses.ask(1), misses.ask(1), misses.ask(2)]).toEqual(['first', 'pending', 'first']);
  expect(misses.waiting).toBe(true);
  misses.begin(0);
  expect(misses.waiting).toBe(false);
  expect(misses.ask(1)).toBe('pending');
});

it('says what a search has found, and of the rest that it is absent', () => {
  const misses = new Misses<number>(KEEP);
  misses.ask(1);
  misses.ask(2);
  misses.begin(0);
  expect(misses.end((key) => key === 1, 0)).toEqual({ found: new Set([1]), absent: new Set([2]) });
  expect(misses.ask(2)).toBe('absent');
  expect(misses.ask(1)).toBe('first'); // gone again since
});

it('lets those who come during a search wait for the next, unless it has found them', () => {
  const misses = new Misses<number>(KEEP);
  misses.ask(1);
  misses.begin(0);
  misses.ask(2);
  misses.ask(3);
  expect(misses.end((key) => key === 3, 0)).toEqual({ found: new Set([3]), absent: new Set([1]) });
  expect(misses.ask(2)).toBe('pending');
  expect(misses.waiting).toBe(true);
});

it('keeps a key absent for a while; what a later search finds is told', () => {
  const misses = new Misses<number>(KEEP);
  misses.setAbsent([1, 2], 0);
  misses.begin(KEEP - 1);
  expect(misses.end((key) => key === 1, KEEP - 1).found).toEqual(new Set([1]));
  expect(misses.ask(2)).toBe('absent');
  misses.begin(KEEP);
  expect(misses.ask(2)).toBe('first');
});
