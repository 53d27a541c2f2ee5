/** Mutual TLS is told on evidence alone: a tunnel's port, between two workloads that speak HBONE. */
import { describe, expect, it } from 'vitest';
import type { WorkloadObject } from '../../src/identity/objects.ts';
import type { Peers } from '../../src/identity/types.ts';
import { istioLabelValues } from '../../src/semconv/istio-labels.ts';
import { destinationFields, sourceFields } from '../../src/semconv/log-record.ts';
import { ISTIO_LABELS } from '../../src/semconv/registry.ts';
import { batchOf, type PairTexts, SENT, service, workload } from './fakes.ts';
import { createRig, RESOLVE_TIMEOUT_MS } from './rig.ts';

const CLIENT = '10.0.0.1';
const SERVER = '10.0.0.2';
const principal = (name: string) => `spiffe://cluster.local/ns/default/sa/${name}`;

const meshWorkload = (name: string, address: string, more: Partial<WorkloadObject> = {}): WorkloadObject => {
  const plain = workload({ uid: name, addresses: [address], pod: true, hbone: true, ...more });
  return { ...plain, fields: { ...plain.fields, principal: principal(name) } };
};

function mesh(client: Partial<WorkloadObject> = {}, server: Partial<WorkloadObject> = {}) {
  const rig = createRig();
  const file = rig.shelf('file');
  file.upsertWorkload(meshWorkload('client', CLIENT, client));
  file.upsertWorkload(meshWorkload('server', SERVER, server));
  const peers = (fields: PairTexts): Peers => {
    const pair = rig.source.add(rig.clock, {
      role: 'source',
      localAddress: CLIENT,
      remoteAddress: SERVER,
      servicePort: 15_008,
      ...fields,
    });
    rig.metrics.consume(batchOf(rig.source, rig.clock.bootNs, [[pair, { [SENT]: 1 }]]));
    rig.clock.advance(RESOLVE_TIMEOUT_MS);
    return rig.pairs.rows.find(({ slot }) => slot === pair.slot)!.peers;
  };
  return { ...rig, file, peers };
}

const inbound: PairTexts = { role: 'destination', localAddress: SERVER, remoteAddress: CLIENT };

describe('a tunnel between two workloads of the mesh', () => {
  it('is mutual TLS as both ends tell it, and proves both principals', () => {
    const { peers } = mesh();
    for (const fields of [{}, inbound]) {
      const labels = istioLabelValues(peers(fields));
      const value = (label: (typeof ISTIO_LABELS)[number]) => labels[ISTIO_LABELS.indexOf(label)];
      expect(value('connection_security_policy')).toBe('mutual_tls');
      expect(value('source_principal')).toBe(principal('client'));
      expect(value('destination_principal')).toBe(principal('server'));
    }
  });

  it('has the identities in the log', () => {
    const found: [string, unknown][] = [];
    const add = (name: string, value: unknown) => void found.push([name, value]);
    const sink = { string: add, int: add, double: add };
    sourceFields(mesh().peers({}), sink);
    destinationFields(mesh().peers({}), sink);
    expect(found).toContainEqual(['src.identity', principal('client')]);
    expect(found).toContainEqual(['dst.identity', principal('server')]);
  });

  it('is the workload’s, though the node’s proxy makes its sockets', () => {
    const { file, cgroups, peers } = mesh();
    const PROXY = '2c48913c-b29f-11e7-9350-020968147796';
    file.upsertWorkload(workload({ uid: 'ztunnel', addresses: ['10.0.0.99'], podUids: [PROXY] }));
    cgroups.change({ added: [[7, `/kubepods/pod${PROXY}/${'c'.repeat(64)}`]] });
    const tunnel = peers({ cgroupId: 7 });
    expect(tunnel).toMatchObject({ source: { name: 'client' }, securityPolicy: 'mutual_tls' });
    expect(tunnel.container).toBeUndefined();
    // any other socket of its own is the proxy's
    expect(peers({ cgroupId: 7, servicePort: 15_012 })).toMatchObject({
      source: { name: 'ztunnel' },
      securityPolicy: 'unknown',
    });
  });

  it('gets a fresh slot when a workload leaves the mesh', () => {
    const { file, peers, source, clock } = mesh();
    expect(peers({ slot: 5 }).securityPolicy).toBe('mutual_tls');
    file.upsertWorkload(meshWorkload('server', SERVER, { hbone: false }));
    clock.advance(0);
    expect(source.renewed).toEqual(['5/1']);
  });
});

describe('nothing else is', () => {
  it.each<[string, PairTexts, Partial<WorkloadObject>, Partial<WorkloadObject>]>([
    ['another port', { servicePort: 8080 }, {}, {}],
    ['another port, accepted', { ...inbound, servicePort: 15_006 }, {}, {}],
    ['a client outside of the mesh', {}, { hbone: false }, {}],
    ['a server outside of the mesh', {}, {}, { hbone: false }],
    ['a server that nobody knows', { remoteAddress: '203.0.113.1' }, {}, {}],
    ['a client that nobody knows', { ...inbound, remoteAddress: '203.0.113.1' }, {}, {}],
    ['a client in the host’s network', { localAddress: '192.0.2.1' }, {}, {}],
    ['a coarse slot, which has no remote end', { kind: 'coarse', remoteAddress: '' }, {}, {}],
  ])('%s', (_, fields, client, server) => {
    expect(mesh(client, server).peers(fields).securityPolicy).toBe('unknown');
  });

  it('a VIP with that port, whoever is behind it', () => {
    const { file, peers } = mesh();
    file.upsertService(
      service({
        hostname: 's',
        vips: [{ network: '', address: '10.96.0.1', length: 32 }],
        ports: new Map([[15_008, 15_008]]),
      }),
    );
    file.upsertWorkload(meshWorkload('server', SERVER, { services: new Map([['default/s', new Map()]]) }));
    expect(peers({ remoteAddress: '10.96.0.1' })).toMatchObject({
      destination: { name: 'server' },
      securityPolicy: 'unknown',
    });
  });
});
