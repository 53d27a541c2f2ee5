import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addressBytes,
  addressFromBytes,
  addressOf,
  addressText,
  canonicalAddress,
  isLoopback,
  maskAddress,
} from '../../src/semconv/address.ts';

describe('canonicalAddress', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::ffff:a00:1', '10.0.0.1'],
    ['0:0:0:0:0:FFFF:10.0.0.1', '10.0.0.1'],
    ['FD00:0:0:0:0:0:0:1', 'fd00::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['fe80::1%eth0', 'fe80::1'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
  ])('%s is %s', (text, canonical) => {
    expect(canonicalAddress(text)).toBe(canonical);
  });

  it.each(['', 'localhost', '10.0.0', '10.0.0.1/8', '1:2', '[::1]', '10.0.0.1%eth0'])('%j is none', (text) => {
    expect(canonicalAddress(text)).toBeUndefined();
  });

  it('gives back the bytes it was made of, and one spelling for them', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ minLength: 16, maxLength: 16 }),
          fc.uint8Array({ minLength: 4, maxLength: 4 }),
          // Runs of zero groups are where spellings differ.
          fc
            .array(fc.constantFrom(0, 0, 0, 1), { minLength: 16, maxLength: 16 })
            .map((bytes) => Uint8Array.from(bytes)),
        ),
        (bytes) => {
          const text = addressFromBytes(bytes)!;
          expect(canonicalAddress(text)).toBe(text);
          if (bytes.length === 4 || text.includes(':')) expect(addressBytes(text)).toEqual(bytes);
          if (bytes.length === 16 && text.includes(':')) expect(new URL(`http://[${text}]`).hostname).toBe(`[${text}]`);
        },
      ),
    );
  });

  it('refuses other numbers of bytes', () => {
    expect(addressFromBytes(new Uint8Array(5))).toBeUndefined();
  });
});

describe('maskAddress', () => {
  it.each([
    ['10.1.2.3', 8, '10.0.0.0'],
    ['10.1.2.3', 32, '10.1.2.3'],
    ['10.1.2.255', 31, '10.1.2.254'],
    ['10.1.2.3', 0, '0.0.0.0'],
    ['2001:db8:ffff::1', 33, '2001:db8:8000::'],
    ['fd00::1', 128, 'fd00::1'],
    ['fd00::1', 0, '::'],
  ])('%s/%i is %s', (address, length, masked) => {
    expect(maskAddress(address, length)).toBe(masked);
  });
});

it('has one value to compare for each address, and its text back', () => {
  const texts = [
    '0.0.0.0',
    '10.0.0.1',
    '127.0.0.1',
    '128.0.0.0',
    '192.0.2.255',
    '255.255.255.255',
    '::',
    'fd00::1',
    '',
  ];
  const addresses = texts.map(addressOf);
  expect(new Set(addresses).size).toBe(texts.length);
  expect(addresses.map(addressText)).toEqual(texts);
});

it('knows loopback addresses', () => {
  expect(['127.0.0.1', '127.9.9.9', '::1'].map(addressOf).every(isLoopback)).toBe(true);
  expect(['128.0.0.1', '::2', '12.7.0.1'].map(addressOf).some(isLoopback)).toBe(false);
});
