import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { meshWorkload } from '../../../../src/identity/mesh-workload.ts';
import { AddressDecoder } from '../../../../src/identity/sources/istiod/address.ts';
import { MalformedMessage, ProtobufReader } from '../../../../src/identity/sources/xds/protobuf-reader.ts';
import { addressFromBytes } from '../../../../src/semconv/address.ts';
import { encode } from '../xds/support/protobuf.ts';
import { ip } from './support/rig.ts';

const decode = (address: object, decoder = new AddressDecoder(), name = 'the-name') =>
  decoder.read(new ProtobufReader(encode('Address', address)), name);

const text = fc.string({ unit: 'grapheme', maxLength: 30 });
const port = fc.record({ servicePort: fc.nat(65_535), targetPort: fc.nat(65_535), appProtocol: fc.nat(5) });
const address = fc
  .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map((bytes) => Buffer.from(bytes));

const workload = fc.record({
  uid: text,
  name: text,
  namespace: text,
  addresses: fc.array(address, { maxLength: 3 }),
  network: text,
  tunnelProtocol: fc.nat(2),
  trustDomain: text,
  serviceAccount: text,
  node: text,
  canonicalName: text,
  canonicalRevision: text,
  workloadType: fc.nat(3),
  workloadName: text,
  nativeTunnel: fc.boolean(),
  authorizationPolicies: fc.array(text, { maxLength: 2 }),
  status: fc.nat(1),
  clusterId: text,
  services: fc.dictionary(text, fc.record({ ports: fc.array(port, { maxLength: 3 }) }), { maxKeys: 3 }),
  locality: fc.record({ region: text, zone: text, subzone: text }),
  networkMode: fc.nat(1),
  capacity: fc.record({ value: fc.nat() }),
});

const portsOf = (ports: readonly { servicePort: number; targetPort: number }[]) =>
  new Map(ports.map(({ servicePort, targetPort }) => [servicePort, targetPort]));

describe('a Workload', () => {
  it('is read as protobufjs wrote it', () => {
    fc.assert(
      fc.property(workload, (value) => {
        expect(decode({ workload: value })).toEqual({
          kind: 'workload',
          workload: {
            uid: 'the-name',
            name: value.name,
            namespace: value.namespace,
            serviceAccount: value.serviceAccount,
            trustDomain: value.trustDomain,
            workloadName: value.workloadName,
            canonicalName: value.canonicalName,
            canonicalRevision: value.canonicalRevision,
            addresses: value.addresses.map((bytes) => addressFromBytes(bytes)),
            network: value.network,
            hostNetwork: value.networkMode === 1,
            hbone: value.tunnelProtocol === 1,
            node: value.node,
            clusterId: value.clusterId,
            region: value.locality.region,
            zone: value.locality.zone,
            services: new Map(Object.entries(value.services).map(([key, { ports }]) => [key, portsOf(ports)])),
          },
        });
      }),
    );
  });

  it('gets the defaults that istiod leaves out', () => {
    const address = decode({ workload: { uid: 'u', name: 'web-1', namespace: 'shop', workloadName: 'web' } });
    if (address.kind !== 'workload') throw new Error('no workload');
    expect(meshWorkload(address.workload, []).fields).toMatchObject({
      name: 'web',
      podName: 'web-1',
      principal: 'spiffe://cluster.local/ns/shop/sa/default',
      cluster: 'Kubernetes',
      canonicalService: undefined,
      region: undefined,
    });
  });

  it('shares with its like what they have in common', () => {
    const decoder = new AddressDecoder();
    const services = { 'shop/web': { ports: [{ servicePort: 80, targetPort: 8080 }] } };
    const [a, b] = ['a', 'b'].map((name) => decode({ workload: { name, node: 'node-1', services } }, decoder));
    if (a?.kind !== 'workload' || b?.kind !== 'workload') throw new Error('no workloads');
    expect(a.workload.services).toBe(b.workload.services);
  });

  it('does not take the services of one for those of another', () => {
    fc.assert(
      fc.property(fc.array(workload, { minLength: 2, maxLength: 6 }), (values) => {
        const decoder = new AddressDecoder();
        for (const value of values) expect(decode({ workload: value }, decoder)).toEqual(decode({ workload: value }));
      }),
    );
  });
});

describe('a Service', () => {
  it('is read as protobufjs wrote it', () => {
    const arbitrary = fc.record({
      name: text,
      namespace: text,
      hostname: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }),
      addresses: fc.array(fc.record({ network: text, address }), { maxLength: 3 }),
      ports: fc.array(port, { maxLength: 3 }),
      subjectAltNames: fc.array(text, { maxLength: 2 }),
      ipFamilies: fc.nat(3),
      canonical: fc.boolean(),
      visibility: fc.nat(1),
    });
    fc.assert(
      fc.property(arbitrary, (value) => {
        const { name, namespace, hostname } = value;
        expect(decode({ service: value }, undefined, `${namespace}/${hostname}`)).toEqual({
          kind: 'service',
          service: {
            key: `${namespace}/${hostname}`,
            service: { name: name || hostname, namespace: namespace || undefined, hostname },
            vips: value.addresses.map(({ network, address }) => {
              const vip = addressFromBytes(address)!;
              return { network, address: vip, length: vip.includes(':') ? 128 : 32 };
            }),
            ports: portsOf(value.ports),
            canonical: value.canonical,
          },
        });
      }),
    );
  });

  it('may have a range of addresses', () => {
    const range = { service: { hostname: 'h', addresses: [{ network: 'n', address: ip('10.1.2.3'), length: 16 }] } };
    expect(decode(range, undefined, '/h')).toMatchObject({
      service: { vips: [{ network: 'n', address: '10.1.0.0', length: 16 }] },
    });
  });
});

describe('what is no address', () => {
  it.each([
    ['nothing', {}, 'neither a workload nor a service'],
    ['an address of five bytes', { workload: { addresses: [Buffer.alloc(5)] } }, 'an address of 5 bytes'],
    ['a service without a hostname', { service: { name: 'x' } }, 'without a hostname'],
    ['a virtual address without an address', { service: { hostname: 'h', addresses: [{}] } }, 'without an address'],
    [
      'a prefix that is too long',
      { service: { hostname: 'h', addresses: [{ address: ip('10.0.0.1'), length: 33 }] } },
      'a prefix of 33 bits',
    ],
    ['a service of another name', { service: { hostname: 'h', namespace: 'n' } }, 'it is the service n/h'],
    ['a port beyond all ports', { service: { hostname: 'h', ports: [{ servicePort: 70_000 }] } }, 'port 70000'],
  ])('%s is refused with the reason', (_name, value, message) => {
    expect(() => decode(value)).toThrow(MalformedMessage);
    expect(() => decode(value)).toThrow(message);
  });
});
