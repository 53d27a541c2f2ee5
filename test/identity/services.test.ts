/** Which service has an address or a target port, against the rules applied to the list of all services. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { PortMap, ServiceObject, Vip } from '../../src/identity/objects.ts';
import { ServiceIndex } from '../../src/identity/services.ts';
import { WorkloadPool } from '../../src/identity/workload-pool.ts';
import { addressOf, fullLength, maskAddress } from '../../src/semconv/address.ts';
import { service, workload } from './fakes.ts';

const NETWORKS = ['', 'other'];
const NAMESPACES = ['a', 'b'];
const ADDRESSES = ['10.0.0.1', '10.0.0.2', '10.1.0.1', 'fd00::1', 'fd00:1::1'];
const LENGTHS = [8, 16, 24, 32, 128];
const PORTS = [80, 81];

const ports: fc.Arbitrary<PortMap> = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...PORTS), fc.constantFrom(0, 8080, 8081)), { selector: ([port]) => port })
  .map((list) => new Map(list));
const vip: fc.Arbitrary<Vip> = fc
  .record({
    network: fc.constantFrom(...NETWORKS),
    address: fc.constantFrom(...ADDRESSES),
    length: fc.constantFrom(...LENGTHS),
    port: fc.constantFrom(undefined, ...PORTS),
  })
  .map(({ network, address, length: wanted, port }) => {
    const length = Math.min(wanted, fullLength(address));
    return { network, address: maskAddress(address, length), length, ...(port !== undefined && { port }) };
  });
const services: fc.Arbitrary<ServiceObject> = fc
  .record({
    hostname: fc.constantFrom('x', 'y', 'z'),
    namespace: fc.constantFrom(...NAMESPACES),
    vips: fc.array(vip, { maxLength: 4 }),
    ports,
    canonical: fc.boolean(),
  })
  .map((fields) => service(fields));

const lowest = (found: readonly ServiceObject[], order: (object: ServiceObject) => string): ServiceObject | undefined =>
  [...found].sort((one, other) => (order(one) < order(other) ? -1 : 1))[0];

const preferred = (found: readonly ServiceObject[], namespace: string | undefined) =>
  lowest(found, ({ key, canonical, service }) => `${service.namespace === namespace ? 0 : canonical ? 1 : 2} ${key}`);

function claiming(all: readonly ServiceObject[], network: string, address: string, length: number, port?: number) {
  const masked = maskAddress(address, length);
  const isClaim = (vip: Vip) =>
    vip.network === network &&
    vip.length === length &&
    vip.address === masked &&
    (port === undefined || vip.port === undefined || vip.port === port);
  return all.filter(({ vips }) => vips.some(isClaim));
}

it('is the one that the rules name, whatever was put and deleted before', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ put: services }) },
    { weight: 1, arbitrary: fc.record({ remove: services }) },
  );
  const asked = fc.record({
    network: fc.constantFrom(...NETWORKS),
    address: fc.constantFrom(...ADDRESSES, '192.0.2.1'),
    namespace: fc.constantFrom(undefined, ...NAMESPACES),
    port: fc.constantFrom(undefined, ...PORTS, 443),
  });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 12 }),
      fc.array(asked, { minLength: 8, maxLength: 8 }),
      (steps, questions) => {
        const index = new ServiceIndex(new WorkloadPool(() => 0));
        const held = new Map<string, ServiceObject>();
        for (const step of steps) {
          if ('put' in step) {
            index.put(step.put);
            held.set(step.put.key, step.put);
          } else {
            index.delete(step.remove.key);
            held.delete(step.remove.key);
          }
        }
        const all = [...held.values()];
        expect([...index.keys()].sort()).toEqual([...held.keys()].sort());
        for (const { network, address, namespace, port } of questions) {
          const at = (length: number) => preferred(claiming(all, network, address, length, port), namespace);
          expect(index.byAddress(network, addressOf(address), namespace, port)?.object).toBe(at(fullLength(address)));
          const shorter = LENGTHS.filter((length) => length < fullLength(address)).sort((a, b) => b - a);
          const covering = shorter.map(at).find((found) => found !== undefined);
          expect(index.byPrefix(network, addressOf(address), namespace, port)?.object).toBe(covering);
        }
      },
    ),
    { numRuns: 1_000 },
  );
});

it('is by target port, of those that the workload serves there, one with an address, then the one of the lowest name', () => {
  const backed = fc.uniqueArray(fc.tuple(services, ports), { selector: ([{ key }]) => key, maxLength: 4 });
  fc.assert(
    fc.property(backed, fc.constantFrom(0, 80, 8080, 8081, 9090), (list, port) => {
      const pool = new WorkloadPool(() => 0);
      const index = new ServiceIndex(pool);
      for (const [object] of list) index.put(object);
      const object = workload({ uid: 'w', services: new Map(list.map(([{ key }, own]) => [key, own])) });
      const serves = ([{ ports: of }, own]: readonly [ServiceObject, PortMap]) =>
        [...of.keys(), ...own.keys()].some((at) => (of.get(at) || own.get(at) || 0) === port && port > 0);
      const found = list.filter(serves).map(([service]) => service);
      const order = ({ service, vips, key }: ServiceObject) => `${vips.length > 0 ? 0 : 1} ${service.hostname} ${key}`;
      expect(index.backed(object.services).byTargetPort(port)).toBe(lowest(found, order)?.service);
    }),
    { numRuns: 1_000 },
  );
});
