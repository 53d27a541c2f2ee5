/** The rules of identity.md: which ends and which service a pair gets. Numbers are cases of the conformance list. */
import { describe, expect, it } from 'vitest';
import type { Pair } from '../../src/receiver/types.ts';
import { batchOf, SENT, service, workload } from './fakes.ts';
import { createRig, RESOLVE_TIMEOUT_MS } from './rig.ts';

const vip = (address: string, length = 32) => ({ network: '', address, length });
const CLIENT = '10.0.0.1';
const SERVER = '10.0.0.2';
const VIP = '10.96.0.10';

function mesh() {
  const rig = createRig();
  const file = rig.shelf('file');
  file.upsertService(service({ hostname: 'server.default.svc', vips: [vip(VIP)], ports: new Map([[80, 8080]]) }));
  file.upsertWorkload(workload({ uid: 'client', addresses: [CLIENT] }));
  file.upsertWorkload(
    workload({ uid: 'server', addresses: [SERVER], services: new Map([['default/server.default.svc', new Map()]]) }),
  );
  /** The labels of a pair, after the time-out if need be. */
  const name = (fields: Partial<Pair>) => {
    const pair = rig.source.add(rig.clock, fields);
    rig.metrics.consume(batchOf(rig.source, rig.clock.bootNs, [[pair, { [SENT]: 1 }]]));
    rig.clock.advance(RESOLVE_TIMEOUT_MS);
    const row = rig.pairs.rows.find(({ slot }) => slot === pair.slot)!;
    const { reporter, source, destination, service: dialled } = row.peers;
    return { reporter, source: source?.name, destination: destination?.name, service: dialled?.hostname };
  };
  return { ...rig, file, name };
}

const asSource = (remoteAddress: string, servicePort: number): Partial<Pair> => ({
  role: 'source',
  localAddress: CLIENT,
  remoteAddress,
  servicePort,
});
const asDestination = (servicePort: number, localAddress = SERVER): Partial<Pair> => ({
  role: 'destination',
  localAddress,
  remoteAddress: CLIENT,
  servicePort,
});

describe('services', () => {
  it('11: a VIP dial and the port rule give both ends the same labels', () => {
    const { name } = mesh();
    const ends = { source: 'client', destination: 'server', service: 'server.default.svc' };
    expect(name(asSource(VIP, 80))).toEqual({ reporter: 'source', ...ends });
    expect(name(asDestination(8080))).toEqual({ reporter: 'destination', ...ends });
  });

  it('12: a dialled pod ip resolves its service by target port at both ends', () => {
    const { name } = mesh();
    expect(name(asSource(SERVER, 8080)).service).toBe('server.default.svc');
    expect(name(asDestination(8080)).service).toBe('server.default.svc');
    expect(name(asSource(SERVER, 9999)).service).toBeUndefined();
    expect(name(asDestination(9999)).service).toBeUndefined();
  });

  it('13: two services on one backend', () => {
    const { name, file } = mesh();
    const services = ['a.svc', 'b.svc', 'c.svc'];
    file.upsertService(service({ hostname: 'a.svc', vips: [vip('10.96.0.1')], ports: new Map([[80, 8080]]) }));
    file.upsertService(service({ hostname: 'b.svc', vips: [vip('10.96.0.2')], ports: new Map([[80, 8080]]) }));
    file.upsertService(service({ hostname: 'c.svc', vips: [vip('10.96.0.3')], ports: new Map([[80, 9090]]) }));
    file.upsertWorkload(
      workload({
        uid: 'server',
        addresses: [SERVER],
        services: new Map(services.map((key) => [`default/${key}`, new Map()])),
      }),
    );
    expect(name(asSource('10.96.0.2', 80)).service).toBe('b.svc');
    expect(name(asSource('10.96.0.3', 80)).service).toBe('c.svc');
    expect(name(asDestination(9090)).service).toBe('c.svc');
    expect(name(asDestination(8080)).service).toBe('a.svc');
  });

  it("an address that is a service's at one port only", () => {
    const { name, file } = mesh();
    const at = (hostname: string, port: number) =>
      service({ hostname, vips: [{ ...vip('10.96.0.1'), port }], ports: new Map([[port, 8080]]) });
    file.upsertService(at('a.svc', 80));
    file.upsertService(at('b.svc', 81));
    const backs = new Map([['default/b.svc', new Map()]]);
    file.upsertWorkload(workload({ uid: 'server', addresses: [SERVER], services: backs }));
    expect(name(asSource('10.96.0.1', 80))).toMatchObject({ service: 'a.svc', destination: undefined });
    expect(name(asSource('10.96.0.1', 81))).toMatchObject({ service: 'b.svc', destination: 'server' });
    expect(name(asSource('10.96.0.1', 82))).toMatchObject({ service: undefined, destination: undefined });
  });

  it('14: a named target port is resolved by the workload', () => {
    const { name, file } = mesh();
    file.upsertService(service({ hostname: 'server.default.svc', vips: [vip(VIP)], ports: new Map([[80, 0]]) }));
    file.upsertWorkload(
      workload({
        uid: 'server',
        addresses: [SERVER],
        services: new Map([['default/server.default.svc', new Map([[80, 8080]])]]),
      }),
    );
    expect(name(asDestination(8080)).service).toBe('server.default.svc');
    expect(name(asSource(VIP, 80))).toMatchObject({ destination: 'server', service: 'server.default.svc' });
  });

  it('a VIP in front of several workloads names the service and nobody behind it', () => {
    const { name, file } = mesh();
    file.upsertWorkload(workload({ uid: 'server-v2', services: new Map([['default/server.default.svc', new Map()]]) }));
    expect(name(asSource(VIP, 80))).toMatchObject({ destination: undefined, service: 'server.default.svc' });
  });

  it('a VIP prefix covers an address that is nobody, and gives way to the port rule for one that is somebody', () => {
    const { name, file } = mesh();
    file.upsertService(service({ hostname: 'wide.svc', vips: [vip('10.0.0.0', 8)] }));
    expect(name(asSource('10.1.1.1', 80)).service).toBe('wide.svc');
    expect(name(asSource(SERVER, 8080)).service).toBe('server.default.svc');
  });

  it("of services with one VIP, the one in the client's namespace", () => {
    const { name, file } = mesh();
    file.upsertService(
      service({ hostname: 'a.other', namespace: 'other', vips: [vip(VIP)], canonical: true, ports: new Map() }),
    );
    expect(name(asSource(VIP, 80)).service).toBe('server.default.svc');
    file.upsertWorkload(workload({ uid: 'client', addresses: [CLIENT], namespace: 'elsewhere' }));
    expect(name(asSource(VIP, 80)).service).toBe('a.other');
  });
});

describe('ends', () => {
  it('15: an unknown remote end is unknown after the time-out, the local one keeps its name', () => {
    const { name } = mesh();
    expect(name(asSource('203.0.113.9', 443))).toEqual({
      reporter: 'source',
      source: 'client',
      destination: undefined,
      service: undefined,
    });
  });

  it('17: plaintext has no security policy, whoever the ends are', () => {
    const { name, pairs } = mesh();
    name(asSource(SERVER, 8080));
    expect(pairs.rows[0]!.peers.securityPolicy).toBe('unknown');
  });

  it("21: a host-network workload's address names nobody", () => {
    const { name, file } = mesh();
    file.upsertWorkload(workload({ uid: 'node-exporter', addresses: ['192.0.2.1'], hostNetwork: true }));
    expect(name({ role: 'destination', localAddress: SERVER, remoteAddress: '192.0.2.1' }).source).toBeUndefined();
  });

  it('the cgroup goes before the address at the local end', () => {
    const { name, file } = mesh();
    file.upsertWorkload(workload({ uid: 'node-exporter', hostNetwork: true, addresses: [CLIENT], cgroups: [7n] }));
    expect(name({ ...asSource(SERVER, 8080), cgroupId: 7n }).source).toBe('node-exporter');
  });

  it('22: after the pod the workload entry is used, after both nobody', () => {
    const { name, file } = mesh();
    const remote = { role: 'destination', localAddress: SERVER, remoteAddress: '10.0.0.7' } as const;
    file.upsertWorkload(workload({ uid: 'entry', addresses: ['10.0.0.7'] }));
    file.upsertWorkload(workload({ uid: 'pod', addresses: ['10.0.0.7'], pod: true }));
    expect(name(remote).source).toBe('pod');
    file.removeWorkload('pod');
    expect(name(remote).source).toBe('entry');
    file.removeWorkload('entry');
    expect(name(remote).source).toBeUndefined();
  });

  it('35: IPv6 is looked up as text of one spelling', () => {
    const { name, file } = mesh();
    file.upsertWorkload(workload({ uid: 'six', addresses: ['fd00::1'] }));
    expect(name({ role: 'destination', localAddress: SERVER, remoteAddress: 'fd00::1' }).source).toBe('six');
  });

  it('a coarse slot names its local end, an unattributed one nobody, and neither waits', () => {
    const rig = mesh();
    const coarse = rig.source.add(rig.clock, {
      kind: 'coarse',
      role: 'destination',
      localAddress: SERVER,
      remoteAddress: '',
    });
    const none = rig.source.add(rig.clock, { kind: 'unattributed', localAddress: '', remoteAddress: '' });
    rig.metrics.consume(
      batchOf(rig.source, 1, [
        [coarse, { [SENT]: 1 }],
        [none, { [SENT]: 1 }],
      ]),
    );
    expect(
      rig.pairs.rows.map(({ peers }) => [peers.source?.name, peers.destination?.name, peers.service?.hostname]),
    ).toEqual([
      [undefined, 'server', 'server.default.svc'],
      [undefined, undefined, undefined],
    ]);
  });
});
