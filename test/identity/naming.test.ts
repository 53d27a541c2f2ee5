/** The rules of identity.md: which ends and which service a pair gets. Numbers are cases of the conformance list. */
import { describe, expect, it } from 'vitest';
import { batchOf, type PairTexts, SENT, service, workload } from './fakes.ts';
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
  const name = (fields: PairTexts) => {
    const pair = rig.source.add(rig.clock, fields);
    rig.metrics.consume(batchOf(rig.source, rig.clock.bootNs, [[pair, { [SENT]: 1 }]]));
    rig.clock.advance(RESOLVE_TIMEOUT_MS);
    const row = rig.pairs.rows.find(({ slot }) => slot === pair.slot)!;
    const { reporter, source, destination, service: dialled } = row.peers;
    return { reporter, source: source?.name, destination: destination?.name, service: dialled?.hostname };
  };
  return { ...rig, file, name };
}

const asSource = (remoteAddress: string, servicePort: number): PairTexts => ({
  role: 'source',
  localAddress: CLIENT,
  remoteAddress: remoteAddress,
  servicePort,
});
const asDestination = (servicePort: number, localAddress = SERVER): PairTexts => ({
  role: 'destination',
  localAddress: localAddress,
  remoteAddress: CLIENT,
  servicePort,
});

describe("the node's clock", () => {
  const holder = (uid: string) => workload({ uid, addresses: ['10.0.0.2'] });

  it.each([
    ['back', -3_600_000],
    ['forward', 3_600_000],
  ])('is set %s: who held an address when is told as before', (_direction, ms) => {
    const { clock, source, shelf, metrics, pairs } = createRig();
    shelf('file').upsertWorkload(workload({ uid: 'client', addresses: ['10.0.0.1'] }));
    shelf('file').upsertWorkload(holder('before'));
    clock.advance(10_000);
    const early = source.add(clock);
    clock.advance(10_000);
    shelf('file').removeWorkload('before');
    shelf('file').upsertWorkload(holder('after'));
    clock.advance(10_000);
    clock.setMs = ms;
    const late = source.add(clock);
    metrics.consume(
      batchOf(source, 1, [
        [early, { [SENT]: 1 }],
        [late, { [SENT]: 1 }],
      ]),
    );
    expect(pairs.rows.map(({ peers }) => peers.destination?.name)).toEqual(['before', 'after']);
  });
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

  it('a load balancer on the socket: the service of the address and port that were dialled, not of the backend', () => {
    const { name, file } = mesh();
    const at = (hostname: string, port: number) =>
      service({ hostname, vips: [{ ...vip('10.96.0.1'), port }], ports: new Map([[port, 8080]]) });
    file.upsertService(at('b.svc', 80));
    file.upsertService(at('c.svc', 81));
    file.upsertService(at('d.svc', 8080));
    const dials = (dialledAddress: string, dialledPort: number) =>
      name({ ...asSource(SERVER, 8080), dialledAddress: dialledAddress, dialledPort });
    expect(dials('10.96.0.1', 80)).toMatchObject({ service: 'b.svc', destination: 'server' });
    expect(dials('10.96.0.1', 81)).toMatchObject({ service: 'c.svc', destination: 'server' });
    // nobody's address: the service by the backend's port
    expect(dials('10.96.0.9', 80)).toMatchObject({ service: 'server.default.svc', destination: 'server' });
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
    file.upsertWorkload(workload({ uid: 'node-exporter', hostNetwork: true, addresses: [CLIENT], cgroups: [7] }));
    expect(name({ ...asSource(SERVER, 8080), cgroupId: 7 }).source).toBe('node-exporter');
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

describe('local ends of pods', () => {
  const POD = '2c48913c-b29f-11e7-9350-020968147796';
  const OTHER = '3d59a24d-b29f-11e7-9350-020968147796';
  const ID = 'c'.repeat(64);
  const NETNS = 4_026_532_500;

  /** A pod with an address, one in the host's network, a cgroup of each; `file` stands for whoever knows pods. */
  function pods() {
    const rig = mesh();
    rig.file.upsertWorkload(workload({ uid: 'client', addresses: [CLIENT], podUids: [POD] }));
    rig.file.upsertWorkload(workload({ uid: 'node-agent', addresses: [CLIENT], hostNetwork: true, podUids: [OTHER] }));
    rig.cgroups.change({
      added: [
        [1, '/'],
        [2, `/kubepods/pod${POD}/${ID}`],
        [3, `/kubepods/pod${OTHER}/${ID}`],
        [4, '/kubepods/pod00000000-0000-4000-8000-000000000000'],
        [5, '/system.slice/sshd.service'],
      ],
    });
    const peers = (fields: PairTexts) => {
      const pair = rig.source.add(rig.clock, { ...asSource(SERVER, 8080), ...fields });
      rig.metrics.consume(batchOf(rig.source, rig.clock.bootNs, [[pair, { [SENT]: 1 }]]));
      rig.clock.advance(RESOLVE_TIMEOUT_MS);
      return rig.pairs.rows.find(({ slot }) => slot === pair.slot)!.peers;
    };
    return { ...rig, peers };
  }

  it('are told by cgroup, those in the host’s network too, and their container with them', () => {
    const { peers } = pods();
    expect(peers({ cgroupId: 2, localAddress: '192.0.2.9' })).toMatchObject({
      source: { name: 'client' },
      container: { podUid: POD, containerId: ID },
    });
    expect(peers({ cgroupId: 3 })).toMatchObject({
      source: { name: 'node-agent' },
      container: { podUid: OTHER, containerId: ID },
    });
  });

  it('are told by address where the cgroup tells of no pod', () => {
    const { peers } = pods();
    for (const cgroupId of [0, 1, 5]) {
      expect(peers({ cgroupId }).source?.name).toBe('client');
      expect(peers({ cgroupId }).container).toBeUndefined();
    }
  });

  it('are nobody when the cgroup is of a pod that is not known, though another still has the address', () => {
    const { peers } = pods();
    expect(peers({ cgroupId: 4 }).source).toBeUndefined();
  });

  it('29: a pod that is announced late has its address from the one before it at once', () => {
    const { file, source, clock, metrics, pairs } = pods();
    const pair = source.add(clock, { ...asSource(SERVER, 8080), cgroupId: 4 });
    metrics.consume(batchOf(source, clock.bootNs, [[pair, { [SENT]: 1 }]]));
    clock.advance(2_000);
    expect(pairs.rows).toEqual([]);
    file.upsertWorkload(
      workload({ uid: 'heir', addresses: [CLIENT], podUids: ['00000000-0000-4000-8000-000000000000'] }),
    );
    clock.advance(0);
    expect(pairs.rows[0]!.peers.source?.name).toBe('heir');
  });

  it('are told by their network namespace where the cgroup tells of no pod, before the address', () => {
    const { peers, namespaces } = pods();
    namespaces.pods.set(NETNS, { podUid: OTHER, containerId: undefined });
    expect(peers({ cgroupId: 1, netns: NETNS })).toMatchObject({
      source: { name: 'node-agent' },
      container: { podUid: OTHER, containerId: undefined },
    });
    expect(peers({ cgroupId: 2, netns: NETNS }).source?.name).toBe('client'); // the cgroup tells
  });

  it('wait for their network namespace to be looked up', () => {
    const { source, clock, metrics, pairs, namespaces, namer } = pods();
    namespaces.lookingFor.add(NETNS);
    const pair = source.add(clock, { ...asSource(SERVER, 8080), cgroupId: 1, netns: NETNS });
    metrics.consume(batchOf(source, clock.bootNs, [[pair, { [SENT]: 1 }]]));
    expect(pairs.rows).toEqual([]);
    namespaces.lookingFor.clear();
    namespaces.pods.set(NETNS, { podUid: OTHER, containerId: undefined });
    namer.reconsiderNamespaces(new Set([NETNS]));
    clock.advance(0);
    expect(pairs.rows[0]!.peers.source?.name).toBe('node-agent');
  });

  it('wait for their cgroup to be looked up, though their address has a name', () => {
    const { source, clock, metrics, pairs, cgroups, namer } = pods();
    cgroups.lookingFor.add(9);
    const pair = source.add(clock, { ...asSource(SERVER, 8080), cgroupId: 9 });
    metrics.consume(batchOf(source, clock.bootNs, [[pair, { [SENT]: 1 }]]));
    expect(pairs.rows).toEqual([]);
    cgroups.change({ added: [[9, `/kubepods/pod${OTHER}`]] });
    namer.reconsider({ addresses: new Set(), cgroups: new Set([9]), ranges: [], synced: false });
    clock.advance(0);
    expect(pairs.rows[0]!.peers.source?.name).toBe('node-agent');
  });
});
