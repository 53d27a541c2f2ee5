import { networkInterfaces } from 'node:os';
import { expect, it } from 'vitest';
import { createNodeAddresses } from '../../src/identity/node-addresses.ts';
import { addressOf, canonicalAddress } from '../../src/semconv/address.ts';
import { FakeClock } from './fakes.ts';

it('knows loopback and the interfaces, and reads them again at most once a second', () => {
  const clock = new FakeClock();
  let reads = 0;
  const interfaces = [addressOf('10.0.0.1')];
  const addresses = createNodeAddresses(clock, () => {
    reads++;
    return interfaces;
  });
  expect(addresses.has(addressOf('127.0.0.53'))).toBe(true);
  expect(reads).toBe(0);
  expect([
    addresses.has(addressOf('10.0.0.1')),
    addresses.has(addressOf('10.0.0.2')),
    addresses.has(addressOf('10.0.0.2')),
  ]).toEqual([true, false, false]);
  interfaces.push(addressOf('10.0.0.2'));
  expect(addresses.has(addressOf('10.0.0.2'))).toBe(false);
  clock.advance(1_000);
  expect([addresses.has(addressOf('10.0.0.2')), reads]).toEqual([true, 2]);
});

it("reads this machine's own interfaces", () => {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const addresses = createNodeAddresses(new FakeClock());
  for (const { address } of own) expect(addresses.has(addressOf(canonicalAddress(address)!))).toBe(true);
  expect(addresses.has(addressOf('203.0.113.77'))).toBe(false);
});
