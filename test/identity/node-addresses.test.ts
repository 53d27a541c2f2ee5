import { networkInterfaces } from 'node:os';
import { expect, it } from 'vitest';
import { createNodeAddresses } from '../../src/identity/node-addresses.ts';
import { canonicalAddress } from '../../src/semconv/address.ts';
import { FakeClock } from './fakes.ts';

it('knows loopback and the interfaces, and reads them again at most once a second', () => {
  const clock = new FakeClock();
  let reads = 0;
  const interfaces = ['10.0.0.1'];
  const addresses = createNodeAddresses(clock, () => {
    reads++;
    return interfaces;
  });
  expect(addresses.has('127.0.0.53')).toBe(true);
  expect(reads).toBe(0);
  expect([addresses.has('10.0.0.1'), addresses.has('10.0.0.2'), addresses.has('10.0.0.2')]).toEqual([
    true,
    false,
    false,
  ]);
  interfaces.push('10.0.0.2');
  expect(addresses.has('10.0.0.2')).toBe(false);
  clock.advance(1_000);
  expect([addresses.has('10.0.0.2'), reads]).toEqual([true, 2]);
});

it("reads this machine's own interfaces", () => {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const addresses = createNodeAddresses(new FakeClock());
  for (const { address } of own) expect(addresses.has(canonicalAddress(address)!)).toBe(true);
  expect(addresses.has('203.0.113.77')).toBe(false);
});
