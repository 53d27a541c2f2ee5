import fc from 'fast-check';
import { expect, it } from 'vitest';
import { AddressMap } from '../../src/identity/address-map.ts';
import { type Address, addressOf } from '../../src/semconv/address.ts';

/** Few enough that the same one is set and deleted several times, and that some are neighbours. */
const address: fc.Arbitrary<Address> = fc.oneof(
  fc.integer({ min: 0, max: 40 }),
  fc.integer({ min: 0, max: 40 }).map((i) => (i << 27) | 0),
  fc.constantFrom('0.0.0.0', '255.255.255.255', '::', 'fd00::1').map(addressOf),
);
const step = fc.record({ address, value: fc.option(fc.nat(9)) });

it('does as a Map does, but for the order of its keys', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), fc.array(address), (steps, asked) => {
      const map = new Map<Address, number>();
      const own = new AddressMap<number>();
      for (const { address, value } of steps) {
        if (value === null) expect(own.delete(address)).toBe(map.delete(address));
        else {
          map.set(address, value);
          own.set(address, value);
        }
        expect(own.size).toBe(map.size);
      }
      expect(new Set(own.keys())).toEqual(new Set(map.keys()));
      expect([...own.keys()]).toHaveLength(map.size);
      for (const one of [...asked, ...map.keys()])
        expect([own.has(one), own.get(one)]).toEqual([map.has(one), map.get(one)]);
    }),
    { numRuns: 1_000 },
  );
});
