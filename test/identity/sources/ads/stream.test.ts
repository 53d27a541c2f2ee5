/** What is said over the stream: what is asked for and when, what is accepted and refused, and what a lost stream costs. */
import { describe, expect, it } from 'vitest';
import { describeAds, FETCH_TIMEOUT_MS } from '../../../../src/identity/sources/ads/source.ts';
import { ControlPlane } from './support/control-plane.ts';
import {
  assignment,
  chain,
  cluster,
  encode,
  endpoint,
  http,
  listener,
  TYPE_URLS,
  virtualHost,
} from './support/envoy.ts';
import { assignments, DB_5432, DB_V1, mesh, named, WEB, WEB_80, WEB_V1 } from './support/mesh.ts';
import { attach, configFor, MACHINE, type Rig, startRig, synced, until } from './support/rig.ts';

/** An encoded Any whose message ends too early; its name can still be read. */
function cut(kind: keyof typeof TYPE_URLS, fields: Readonly<Record<string, unknown>>): Buffer {
  const value = encode(kind, fields);
  return encode('Any', { type_url: TYPE_URLS[kind], value: value.subarray(0, value.length - 2) });
}

const refusals = ({ plane }: Rig) => plane.requests.filter(({ error }) => error !== '');

/** Lets the back-off pass until the condition holds. */
const meanwhile = (rig: Rig, holds: () => boolean) =>
  until(() => {
    rig.clock.advance(100);
    return holds();
  });

describe('what is asked for', () => {
  it('goes from clusters to endpoints and from listeners to routes, as a sidecar of its node', async () => {
    const { plane } = await synced(mesh);
    const firsts = [...new Map(plane.requests.toReversed().map((request) => [request.kind, request])).values()];
    expect(firsts.toReversed().map(({ kind, names, version, nonce }) => [kind, names, version, nonce])).toEqual([
      ['Cluster', [], '', ''],
      ['ClusterLoadAssignment', [WEB_80, DB_5432], '', ''],
      ['Listener', [], '', ''],
      ['RouteConfiguration', ['80'], '', ''],
    ]);
    expect(plane.requests.map(({ nodeId }) => nodeId).filter((id) => id !== '')).toEqual([
      'sidecar~10.0.1.200~tcpledger-x.istio-system~istio-system.svc.cluster.local',
    ]);
    expect(plane.requests[0]?.nodeId).not.toBe('');
  });

  it('is neither endpoints nor routes where nobody names any', async () => {
    const { plane } = await synced((plane) => {
      plane.state.Cluster = named(cluster('PassthroughCluster', { type: 4, service: null }));
    });
    await until(() => plane.requestsOf('Listener').length === 2);
    expect(plane.requests.map(({ kind }) => kind).sort()).toEqual(['Cluster', 'Cluster', 'Listener', 'Listener']);
  });

  it('follows the clusters and the listeners', async () => {
    const { plane } = await synced(mesh);
    const other = 'outbound|81||other.shop.svc.cluster.local';
    const last = (kind: 'ClusterLoadAssignment' | 'RouteConfiguration') => plane.requestsOf(kind).at(-1)?.names.join();
    plane.set('Cluster', named(cluster(WEB_80), cluster(other)));
    await until(() => last('ClusterLoadAssignment') === [WEB_80, other].join());
    plane.set('Cluster', {});
    await until(() => last('ClusterLoadAssignment') === '');
    plane.set('Cluster', named(cluster(DB_5432)));
    await until(() => last('ClusterLoadAssignment') === DB_5432);
    const byRoute = (name: string) => chain([http({ rds: { route_config_name: name } })]);
    plane.set('Listener', named(listener('0.0.0.0', 81, [byRoute('81'), byRoute('82')])));
    await until(() => last('RouteConfiguration') === '81,82');
  });

  it('is not said again while it stays the same', async () => {
    const { plane } = await synced(mesh);
    await until(() => plane.requestsOf('RouteConfiguration').length === 2);
    const asked = plane.requestsOf('ClusterLoadAssignment').length;
    plane.push('Cluster');
    await until(() => plane.requestsOf('Cluster').length === 3);
    plane.push('Listener');
    await until(() => plane.requestsOf('Listener').length === 3);
    expect(plane.requestsOf('ClusterLoadAssignment').length).toBe(asked);
    expect(plane.requestsOf('RouteConfiguration').length).toBe(2);
  });
});

describe('a response', () => {
  it('is accepted with its version and nonce, and all the names again', async () => {
    const { plane } = await synced(mesh);
    plane.write('ClusterLoadAssignment', [], 'version-7', 'nonce-8');
    await until(() => plane.requests.at(-1)?.nonce === 'nonce-8');
    expect(plane.requests.at(-1)).toMatchObject({
      kind: 'ClusterLoadAssignment',
      version: 'version-7',
      names: [WEB_80, DB_5432],
      error: '',
    });
  });

  it('is refused by the names of what cannot be read; the rest is used', async () => {
    const rig = await synced((plane) => {
      mesh(plane);
      for (let n = 0; n < 9; n++) {
        const name = `outbound|80||s${n}.shop.svc.cluster.local`;
        plane.state.Cluster[name] = cluster(name, { type: 4 });
      }
      plane.state.Cluster.bad = cut('Cluster', cluster('outbound|80||bad.shop.svc.cluster.local'));
    });
    await until(() => refusals(rig).length === 1);
    expect(refusals(rig)[0]).toMatchObject({ kind: 'Cluster', version: '', nonce: 'n1' });
    expect(refusals(rig)[0]?.error).toMatch(/^outbound\|80\|\|bad\.shop\.svc\.cluster\.local: field 25 is said/);
    expect(rig.source.shelf.services.size).toBe(11);
    expect(rig.telemetry.values.get('tcpledger_identity_nacks{"source":"ads"}')).toBe(1);
    const warnings = () => rig.logger.lines.filter((line) => line.startsWith('warn'));
    expect(warnings()).toEqual([expect.stringContaining('sends Clusters that cannot be read; they stay as they were')]);
    // The same again is refused again, and told once.
    rig.plane.push('Cluster');
    await until(() => refusals(rig).length === 2);
    expect(warnings()).toHaveLength(1);
  });

  it('that is refused leaves the version at the one before', async () => {
    const rig = await synced(mesh);
    const version = rig.plane.requestsOf('Listener').at(-1)?.version;
    rig.plane.set('Listener', { bad: cut('Listener', listener('10.0.0.1', 80, [])) as never });
    await until(() => refusals(rig).length === 1);
    expect(refusals(rig)[0]).toMatchObject({ kind: 'Listener', version });
    expect(version).not.toBe('');
  });

  it('does not take away what it names and cannot tell', async () => {
    const rig = await synced(mesh);
    rig.plane.set('Cluster', { [WEB_80]: cut('Cluster', cluster(WEB_80)) as never });
    await until(() => refusals(rig).length === 1);
    expect(rig.workload('10.0.1.1')?.name).toBe('web-v1');
    expect(rig.hostname('10.96.0.1', 80)).toBe(WEB);
    // The other one was left out, and is gone.
    expect(rig.workload('10.0.2.1')).toBeUndefined();
  });

  it('takes nothing away if it does not even tell what it is about', async () => {
    const rig = await synced(mesh);
    rig.plane.set('Cluster', { what: Buffer.from([0x0a, 0x7f]) as never });
    await until(() => refusals(rig).length === 1);
    expect(refusals(rig)[0]?.error).toMatch(/^resource 1 of 1: /);
    expect(rig.source.shelf.services.size).toBe(2);
  });

  it('of endpoints or routes that cannot be read leaves them as they were', async () => {
    const rig = await synced(mesh);
    rig.plane.state.ClusterLoadAssignment = {
      [WEB_80]: cut('ClusterLoadAssignment', assignment(WEB_80, [endpoint('10.0.1.9', 80, { workload: WEB_V1 })])),
      [DB_5432]: assignment(DB_5432, [endpoint('10.0.2.9', 5432, { workload: DB_V1 })]),
    };
    rig.plane.push('ClusterLoadAssignment');
    rig.plane.set('RouteConfiguration', {
      80: cut('RouteConfiguration', { name: '80', virtual_hosts: [virtualHost('a', ['b'])] }) as never,
    });
    await until(() => refusals(rig).length === 2);
    expect(refusals(rig).map(({ kind, error }) => [kind, error.split(':')[0]])).toEqual([
      ['ClusterLoadAssignment', 'outbound|80||web.shop.svc.cluster.local'],
      ['RouteConfiguration', '80'],
    ]);
    expect(rig.workload('10.0.1.1')?.name).toBe('web-v1');
    expect(rig.workload('10.0.2.9')?.name).toBe('db');
    expect(rig.workload('10.0.2.1')).toBeUndefined();
    expect(rig.hostname('10.96.0.1', 80)).toBe(WEB);
  });

  it('that is refused does not hide new names from the server', async () => {
    const rig = await synced(mesh);
    const other = 'outbound|81||other.shop.svc.cluster.local';
    rig.plane.state.ClusterLoadAssignment[other] = cut(
      'ClusterLoadAssignment',
      assignment(other, [endpoint('10.0.0.1', 1)]),
    );
    rig.plane.set('Cluster', named(cluster(WEB_80), cluster(DB_5432), cluster(other)));
    await until(() => refusals(rig).length === 1);
    const refusal = refusals(rig)[0]!;
    await until(() => rig.plane.requests.at(-1)?.nonce === refusal.nonce && rig.plane.requests.at(-1)?.error === '');
    expect(rig.plane.requests.at(-1)).toMatchObject({ kind: 'ClusterLoadAssignment', names: [WEB_80, DB_5432, other] });
  });

  it('about what nobody asked for is passed over', async () => {
    const rig = await synced(mesh);
    rig.plane.state.ClusterLoadAssignment.stray = assignment('stray', [endpoint('10.0.9.9', 1, { workload: WEB_V1 })]);
    rig.plane.push('ClusterLoadAssignment', ['stray']);
    rig.plane.state.RouteConfiguration.stray = {
      name: 'stray',
      virtual_hosts: [virtualHost('s', ['10.9.9.9'], WEB_80)],
    };
    rig.plane.push('RouteConfiguration', ['stray']);
    const asked = rig.plane.requests.length;
    await until(() => rig.plane.requests.length >= asked + 2);
    expect(rig.workload('10.0.9.9')).toBeUndefined();
    expect(rig.hostname('10.9.9.9', 80)).toBeUndefined();
  });
});

describe('a stream', () => {
  it('that ends is opened again from the beginning; meanwhile what is known stays', async () => {
    const rig = await synced(mesh);
    const { plane } = rig;
    const gone = plane.state.Cluster[DB_5432]!;
    delete plane.state.Cluster[DB_5432];
    plane.state.ClusterLoadAssignment[WEB_80] = assignment(WEB_80, [endpoint('10.0.1.7', 8080, { workload: WEB_V1 })]);
    plane.drop();
    await until(() => rig.telemetry.observed('tcpledger_identity_connected').ads === 0);
    expect(rig.workload('10.0.1.1')?.name).toBe('web-v1');
    expect(rig.workload('10.0.2.1')?.name).toBe('db');
    expect(rig.source.missing()).toBeUndefined();
    await meanwhile(rig, () => rig.workload('10.0.1.7') !== undefined);
    expect(rig.workload('10.0.1.1')).toBeUndefined();
    expect(rig.workload('10.0.2.1')).toBeUndefined();
    const again = plane.requests.filter(({ stream }) => stream === 2);
    expect(again[0]).toMatchObject({ kind: 'Cluster', version: '', nonce: '' });
    expect(again[0]?.nodeId).toMatch(/^sidecar~/);
    expect(again.find(({ kind }) => kind === 'ClusterLoadAssignment')).toMatchObject({
      version: '',
      nonce: '',
      names: [WEB_80],
    });
    plane.set('Cluster', { ...(plane.state.Cluster as object), [DB_5432]: gone as never });
    await until(() => rig.workload('10.0.2.1') !== undefined);
  });

  it('that ends soon each time is opened less and less often, one that lasts at once', async () => {
    const { plane, clock, telemetry } = await synced(mesh);
    const connected = () => telemetry.observed('tcpledger_identity_connected').ads === 1;
    const reconnects = () => telemetry.values.get('tcpledger_identity_reconnects{"source":"ads"}');
    const opensAfter = async (ms: number) => {
      const before = reconnects()!;
      plane.drop();
      await until(() => !connected());
      // The pause is planned when the stream's end has been told.
      await new Promise((resolve) => setImmediate(resolve));
      clock.advance(ms - 1);
      await new Promise((resolve) => setImmediate(resolve));
      expect(reconnects()).toBe(before);
      clock.advance(1);
      await until(() => connected() && plane.requests.at(-1)?.kind === 'RouteConfiguration');
      expect(reconnects()).toBe(before + 1);
    };
    for (const ms of [10, 20, 40, 80, 160]) await opensAfter(ms);
    clock.advance(10_000);
    await opensAfter(10);
  });

  it.each([
    [
      'what nobody asked for',
      encode('DiscoveryResponse', { type_url: 'type.googleapis.com/envoy.config.Unheard', nonce: 'x' }),
    ],
    ['no type', Buffer.alloc(0)],
    ['no message', Buffer.from([0x0f, 0xff, 0xff])],
  ])('that sends %s is given up for another, and nothing is lost', async (_, bytes) => {
    const rig = await synced(mesh);
    rig.plane.writeBytes(bytes);
    await meanwhile(rig, () => rig.plane.requests.some(({ stream }) => stream === 2));
    expect(rig.workload('10.0.1.1')?.name).toBe('web-v1');
    await until(() => rig.plane.requests.some(({ stream, kind }) => stream === 2 && kind === 'RouteConfiguration'));
    expect(rig.hostname('10.96.0.1', 80)).toBe(WEB);
  });

  it('may begin when there is no control plane yet', async () => {
    const early = await new ControlPlane().start();
    const { port } = early;
    early.stop();
    const plane = new ControlPlane();
    mesh(plane);
    plane.port = port;
    const rig = await attach(plane);
    await meanwhile(rig, () => rig.logger.lines.some((line) => line.endsWith('Trying again, what is known stays')));
    await plane.start(port);
    await meanwhile(rig, () => rig.source.shelf.synced);
    expect(rig.workload('10.0.1.1')?.name).toBe('web-v1');
  });
});

describe('readiness', () => {
  it('says what is missing, until all that was asked for is told', async () => {
    const rig = await startRig((plane) => {
      mesh(plane);
      for (const kind of ['Cluster', 'ClusterLoadAssignment', 'Listener', 'RouteConfiguration'] as const)
        plane.silent.add(kind);
    });
    const { plane, source } = rig;
    const target = `127.0.0.1:${plane.port}`;
    await until(() => plane.requests.length === 1);
    expect(source.missing()).toBe(`waiting for clusters from ${target}`);
    plane.push('Cluster');
    await until(() => source.missing() === `waiting for listeners from ${target}`);
    plane.push('Listener');
    await until(() => source.missing() === 'waiting for the endpoints of 2 of 2 clusters');
    plane.push('ClusterLoadAssignment', [WEB_80]);
    await until(() => source.missing() === 'waiting for the endpoints of 1 of 2 clusters');
    plane.push('ClusterLoadAssignment', [DB_5432]);
    await until(() => source.missing() === 'waiting for 1 of 1 route configurations');
    expect(source.shelf.synced).toBe(false);
    plane.push('RouteConfiguration', ['80']);
    await until(() => source.missing() === undefined);
    expect(source.shelf.synced).toBe(true);
  });

  it('does not wait for ever for endpoints that do not come', async () => {
    const rig = await startRig((plane) => {
      mesh(plane);
      plane.silent.add('ClusterLoadAssignment');
    });
    await until(() => rig.plane.requestsOf('RouteConfiguration').length === 2);
    rig.clock.advance(FETCH_TIMEOUT_MS - 1);
    expect(rig.source.shelf.synced).toBe(false);
    rig.clock.advance(1);
    expect(rig.source.missing()).toBeUndefined();
    expect(rig.logger.lines).toContain(
      `warn 127.0.0.1:${rig.plane.port} has not sent the endpoints of 2 of 2 clusters: names are given without them`,
    );
  });
});

describe('the report for doctor', () => {
  it('says what a control plane has', async () => {
    const { plane } = await synced(mesh);
    expect(await describeAds(configFor(plane.port), MACHINE)).toEqual({
      ok: true,
      text: `127.0.0.1:${plane.port}: 4 clusters, 2 services`,
    });
  });

  it('says what is wrong with it', async () => {
    const { plane } = await synced((plane) => {
      plane.state.Cluster = { bad: cut('Cluster', cluster(WEB_80)), [DB_5432]: cluster(DB_5432) };
      plane.state.ClusterLoadAssignment = assignments(assignment(DB_5432, []));
      plane.state.RouteConfiguration = named();
    });
    const report = await describeAds(configFor(plane.port), MACHINE);
    expect(report.ok).toBe(false);
    expect(report.text).toContain(`1 of 2 clusters cannot be read, as ${WEB_80}: field 25`);
    plane.stop();
    const none = await describeAds(configFor(plane.port), MACHINE);
    expect(none).toMatchObject({ ok: false, text: expect.stringContaining(`127.0.0.1:${plane.port}`) });
  });
});
