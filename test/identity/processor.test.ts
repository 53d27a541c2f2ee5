/** The component: its configuration, its life, and what it tells about itself. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Node, parseDocument } from 'yaml';
import { configuredSources } from '../../src/identity/config.ts';
import { createIdentityProcessor, type IdentityConfig, identityProcessor } from '../../src/identity/processor.ts';
import { FakeConntrackKernel } from './conntrack/fake-kernel.ts';
import {
  batchOf,
  FakeCgroups,
  FakeClock,
  FakeHost,
  FakeNamespaces,
  FakePairSource,
  PairSink,
  pipeline,
  RecordSink,
  recordOf,
  SENT,
  settings,
} from './fakes.ts';

function parse(text: string): { config: IdentityConfig; mistakes: string[] } {
  const mistakes: string[] = [];
  const contents = parseDocument(text).contents as Node | null;
  const config = identityProcessor.schema.parse(
    contents ?? undefined,
    'processors.identity',
    (path, _node, message) => {
      mistakes.push(`${path}: ${message}`);
    },
  );
  return { config, mistakes };
}

describe('configuration', () => {
  it('has defaults for everything', () => {
    const { config, mistakes } = parse('');
    expect(mistakes).toEqual([]);
    expect(config).toMatchObject({ sources: ['host'], resolve_timeout: 5_000, series_ttl: 900_000, conntrack: true });
  });

  it.each([
    ['sources: [hots]', 'processors.identity.sources[0]: found "hots". Allowed: host, file'],
    ['sources: []', 'processors.identity.sources: found an empty list'],
    ['sources: [host, host]', 'processors.identity.sources[1]: "host" is in the list already'],
    ['sources: [file]', 'processors.identity.file: missing. The source file needs its section.'],
    ['{sources: [file], file: {}}', 'processors.identity.file.path: missing'],
    ['{sources: [file], file: {path: a, pth: b}}', 'processors.identity.file.pth: unknown key "pth"'],
    ['{file: {path: a}}', 'processors.identity.file: the source file is not in sources'],
    ['{host: {key: 1}}', 'processors.identity.host.key: unknown key'],
    ['resolve_timeout: 5', 'processors.identity.resolve_timeout: found the number 5'],
    ['conntrack: sometimes', 'processors.identity.conntrack: found "sometimes"'],
    ['conntrack: {}', 'processors.identity.conntrack: found a map'],
    ['contrack: true', 'processors.identity.contrack: unknown key "contrack"'],
    ['series_ttl: 0s', 'processors.identity.series_ttl: found "0s"'],
  ])('%s is a mistake', (text, message) => {
    expect(parse(text).mistakes.join('\n')).toContain(message);
  });

  it.each(['istiod', 'ads'])('of %s may be left out, as each of its keys may', (type) => {
    const { config, mistakes } = parse(`sources: [${type}]`);
    expect(mistakes).toEqual([]);
    const written = parse(`{sources: [${type}], ${type}: {}}`).config;
    expect(configuredSources(config)).toEqual(configuredSources(written));
    expect(configuredSources(config)).toMatchObject([
      { type: { type }, config: { endpoint: { host: 'istiod.istio-system.svc', port: 15012 }, network: '' } },
    ]);
    expect(createIdentityProcessor(settings(), config).needsExecutable).toBe(false);
  });

  it('asks for executables where the host names by them', () => {
    const needs = (text: string) => createIdentityProcessor(settings(), parse(text).config).needsExecutable;
    expect(needs('')).toBe(true);
    expect(needs('{sources: [file, host], file: {path: a}}')).toBe(true);
    expect(needs('{sources: [file], file: {path: a}}')).toBe(false);
  });
});

describe('a processor', () => {
  let folder: string;
  let path: string;
  let clock: FakeClock;
  let cgroups: FakeCgroups;
  let namespaces: FakeNamespaces;
  let source: FakePairSource;
  let conntrack: FakeConntrackKernel;
  let host: FakeHost;
  let agent: ReturnType<typeof settings>;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tcpledger-identity-'));
    path = join(folder, 'workloads.yaml');
    await writeFile(
      path,
      'workloads:\n- {name: client, workloadIps: [10.0.0.1]}\n- {name: server, workloadIps: [10.0.0.2]}\n',
    );
    clock = new FakeClock();
    cgroups = new FakeCgroups();
    namespaces = new FakeNamespaces();
    source = new FakePairSource();
    conntrack = new FakeConntrackKernel();
    host = new FakeHost();
    agent = settings();
  });
  afterEach(() => rm(folder, { recursive: true }));

  const create = (text: string) =>
    createIdentityProcessor(agent, parse(text).config, {
      clock,
      cgroups,
      namespaces,
      nodeAddresses: { has: () => false },
      conntrack,
    });
  const withFile = () => create(`{sources: [file, host], file: {path: ${path}}}`);
  const live = () => new AbortController().signal;

  it('tells each source that has no state, and why, as it learns it', async () => {
    const nowhere = '{endpoint: "127.0.0.1:1", tls: {insecure: true}}';
    const identity = create(`{sources: [istiod, ads, host], istiod: ${nowhere}, ads: ${nowhere}}`);
    const starting = identity.start(host);
    expect(host.missing.get('identity')).toBe(
      'istiod: 127.0.0.1:1 has not told its state; ads: waiting for clusters from 127.0.0.1:1; host: the cgroup tree has not been read',
    );
    await starting;
    const why = 'nobody listens on 127.0.0.1:1. Is the control plane running? Check endpoint';
    await expect.poll(() => host.missing.get('identity')).toBe(`istiod: ${why}; ads: ${why}`);
    for (const source of ['istiod', 'ads']) {
      const failures = `tcpledger_identity_failures{"source":"${source}","reason":"address"}`;
      expect(agent.telemetry.values.get(failures)).toBeGreaterThan(0);
    }
    await identity.shutdown(live());
    expect(agent.telemetry.observed('tcpledger_identity_synced')).toEqual({});
  });

  it('names what comes before it has started as soon as it has, and tells when it is ready', async () => {
    const identity = withFile();
    const [pairs, records] = [new PairSink(), new RecordSink()];
    const metrics = identity.metrics!(pairs, pipeline('metrics'));
    const logs = identity.logs!(records, pipeline('logs'));
    const pair = source.add(clock, { executable: 'curl' });
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 7 }]]));
    logs.consume({ source, records: [recordOf(pair)] });
    const started = identity.start(host);
    expect(host.missing.get('identity')).toContain(path);
    await started;
    clock.advance(1);
    expect(host.missing.size).toBe(0);
    expect(pairs.rows).toMatchObject([
      { sent: 7, peers: { source: { name: 'client' }, destination: { name: 'server' } } },
    ]);
    expect(records.lines[0]!.peers).toBe(pairs.rows[0]!.peers);
    await identity.shutdown(live());
  });

  it('gives every pipeline all of it', async () => {
    const identity = withFile();
    const sinks = [new PairSink(), new PairSink()];
    const outlets = sinks.map((sink, i) => identity.metrics!(sink, pipeline('metrics', `metrics/${i}`)));
    const batch = batchOf(source, 1, [[source.add(clock, { remoteAddress: '10.0.0.9' }), { [SENT]: 7 }]]);
    for (const outlet of outlets) outlet.consume(batch);
    await identity.start(host);
    clock.advance(5_000);
    expect(sinks.map(({ rows }) => rows.map(({ sent }) => sent))).toEqual([[7], [7]]);
    await identity.shutdown(live());
  });

  it('keeps what it holds when pipelines are built anew', async () => {
    const identity = withFile();
    const [old, next] = [new PairSink(), new PairSink()];
    const outlet = identity.metrics!(old, pipeline('metrics'));
    outlet.consume(batchOf(source, 1, [[source.add(clock), { [SENT]: 7 }]]));
    expect(identity.metrics!(next, pipeline('metrics'))).toBe(outlet);
    const logs = identity.logs!(new RecordSink(), pipeline('logs'));
    expect(identity.logs!(new RecordSink(), pipeline('logs'))).toBe(logs);
    await identity.shutdown(live());
    expect([old.rows.length, next.rows.length]).toEqual([0, 1]);
  });

  it('hands on what waits at the shutdown, and stops its timers', async () => {
    const identity = withFile();
    const [pairs, records] = [new PairSink(), new RecordSink()];
    const metrics = identity.metrics!(pairs, pipeline('metrics'));
    const logs = identity.logs!(records, pipeline('logs'));
    await identity.start(host);
    const pair = source.add(clock, { remoteAddress: '203.0.113.1' });
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 7 }]]));
    logs.consume({ source, records: [recordOf(pair)] });
    expect(pairs.rows).toEqual([]);
    await identity.shutdown(live());
    expect(pairs.rows).toMatchObject([{ sent: 7, peers: { source: { name: 'client' }, destination: undefined } }]);
    expect(records.lines).toHaveLength(1);
    clock.advance(3_600_000);
    expect(pairs.rows).toHaveLength(1);
  });

  it('is named by another means when its cgroup turns out not to exist', async () => {
    const identity = create('');
    const pairs = new PairSink();
    const metrics = identity.metrics!(pairs, pipeline('metrics'));
    await identity.start(host);
    cgroups.lookingFor.add(7);
    const pair = source.add(clock, { executable: 'curl', cgroupId: 7 });
    metrics.consume(batchOf(source, 1, [[pair, { [SENT]: 1 }]]));
    expect(pairs.rows).toEqual([]);
    cgroups.change({ absent: [7] });
    clock.advance(1);
    expect(pairs.rows[0]!.peers.source?.name).toBe('curl');
    await identity.shutdown(live());
  });

  it('is named by its pod when its cgroup is found, and as soon as its namespace is', async () => {
    const POD = '0a1b2c3d-0001-4000-8000-00000000000a';
    await writeFile(path, `workloads:\n- {name: pod, podUids: [${POD}]}\n`);
    const identity = create(`{sources: [file], file: {path: ${path}}}`);
    const pairs = new PairSink();
    const metrics = identity.metrics!(pairs, pipeline('metrics'));
    await identity.start(host);
    cgroups.lookingFor.add(7);
    const byCgroup = source.add(clock, { cgroupId: 7, kind: 'coarse' });
    namespaces.lookingFor.add(5);
    const byNamespace = source.add(clock, { cgroupId: 1, netns: 5, kind: 'coarse' });
    metrics.consume(
      batchOf(source, 1, [
        [byCgroup, { [SENT]: 1 }],
        [byNamespace, { [SENT]: 1 }],
      ]),
    );
    expect(pairs.rows).toEqual([]);
    cgroups.change({ added: [[7, `/kubepods/pod${POD}`]] });
    clock.advance(1);
    expect(pairs.rows).toMatchObject([{ slot: byCgroup.slot, peers: { source: { name: 'pod' } } }]);
    namespaces.find(5, { podUid: POD, containerId: undefined });
    clock.advance(1);
    expect(pairs.rows[1]).toMatchObject({ slot: byNamespace.slot, peers: { source: { name: 'pod' } } });
    await identity.shutdown(live());
  });

  it('tells what its sources hold, whether they are synced, and how lookups went', async () => {
    const identity = withFile();
    const metrics = identity.metrics!(new PairSink(), pipeline('metrics'));
    await identity.start(host);
    cgroups.change({ added: [[5, '/system.slice/nginx.service']] });
    expect(agent.telemetry.observed('tcpledger_identity_objects')).toEqual({
      'file/workload': 2,
      'file/service': 0,
      'host/workload': 1,
      'host/service': 0,
    });
    expect(agent.telemetry.observed('tcpledger_identity_synced')).toEqual({ file: 1, host: 1 });
    metrics.consume(batchOf(source, 1, [[source.add(clock), { [SENT]: 1 }]]));
    expect(agent.telemetry.values.get('tcpledger_identity_lookups{"result":"known"}')).toBe(2);
    await identity.shutdown(live());
    expect(agent.telemetry.observed('tcpledger_identity_objects')).toEqual({});
  });

  describe('a service with two workloads', () => {
    const asked = (result: string) => agent.telemetry.values.get(`tcpledger_identity_conntrack{"result":"${result}"}`);

    /** A record of a connection through its VIP that met the second one, and what it is told. */
    async function record(more = '') {
      const backs = (name: string, ip: string) =>
        `- {name: ${name}, workloadIps: [${ip}], services: {ns/shop: {80: 8080}}}\n`;
      await writeFile(
        path,
        `workloads:\n- {name: client, workloadIps: [10.0.0.1]}\n${backs('v1', '10.0.1.1')}${backs('v2', '10.0.1.2')}` +
          'services:\n- {name: shop, namespace: ns, hostname: shop, vips: [/10.96.0.1], ports: {80: 8080}}\n',
      );
      const identity = create(`{sources: [file], file: {path: ${path}}${more}}`);
      const records = new RecordSink();
      const logs = identity.logs!(records, pipeline('logs'));
      await identity.start(host);
      const one = recordOf(source.add(clock, { remoteAddress: '10.96.0.1', servicePort: 80 }));
      conntrack.track(one, { address: '10.0.1.2', port: 8080 });
      const again = () => logs.consume({ source, records: [{ ...one }] });
      for (let i = 0; i < 2; i++) again();
      clock.advance(1_000);
      const told = () => records.lines.map(({ peers }) => peers.destination?.name);
      return { identity, one, told, again };
    }

    it('has each connection named by connection tracking, which is let go of at the shutdown', async () => {
      const { identity, told, again } = await record();
      expect(told()).toEqual(['v2', 'v2']);
      expect(asked('translated')).toBe(2);
      expect(conntrack.openSockets).toBe(1);
      again();
      expect(told()).toHaveLength(2);
      await identity.shutdown(live());
      expect(told()).toEqual(['v2', 'v2', 'v2']);
      expect(conntrack.openSockets).toBe(0);
      expect(agent.logger.lines).toEqual([]);
    });

    it('is asked about once by all pipelines that a record goes through', async () => {
      const { identity, one } = await record();
      const sinks = ['logs/a', 'logs/b'].map((id) => {
        const sink = new RecordSink();
        return { sink, logs: identity.logs!(sink, pipeline('logs', id)) };
      });
      const records = [
        { ...one, connectionId: 'first' },
        { ...one, connectionId: 'last' },
      ];
      for (const { logs } of sinks) logs.consume({ source, records });
      expect(conntrack.asked).toHaveLength(4);
      clock.advance(1_000);
      for (const { sink } of sinks) {
        // the first one's ports were used again: whom it met cannot be told
        expect(sink.lines.map(({ peers }) => peers.destination?.name)).toEqual([undefined, 'v2']);
      }
      expect([asked('translated'), asked('other_connection')]).toEqual([3, 1]);
      await identity.shutdown(live());
    });

    it('or not, if it is told not to ask', async () => {
      const { identity, told } = await record(', conntrack: false');
      expect(told()).toEqual([undefined, undefined]);
      expect(conntrack.asked).toEqual([]);
      expect(asked('unavailable')).toBeUndefined();
      await identity.shutdown(live());
    });

    it('says once why it cannot ask, and what to do', async () => {
      conntrack.refusal = constants.errno.EPERM;
      const { identity, told } = await record();
      expect(told()).toEqual([undefined, undefined]);
      expect(asked('unavailable')).toBe(2);
      clock.advance(600_000);
      expect(agent.logger.lines).toEqual([
        'warn cannot ask conntrack which backend of a service a connection met: CAP_NET_ADMIN is missing; its record has as dst.workload what all backends of the service share, or none. To have it, grant CAP_NET_ADMIN. To do without, set processors.identity.conntrack to false',
      ]);
      await identity.shutdown(live());
    });

    it('has no warning where there is no connection tracking', async () => {
      conntrack.isPresent = false;
      const { identity } = await record();
      expect(agent.logger.lines).toEqual([
        'info cannot ask conntrack which backend of a service a connection met: this machine tracks no connections (nf_conntrack is not loaded); its record has as dst.workload what all backends of the service share, or none',
      ]);
      await identity.shutdown(live());
    });
  });

  it('does not start with a file that cannot be read, and can be shut down then', async () => {
    await rm(path);
    const identity = withFile();
    await expect(identity.start(host)).rejects.toMatchObject({ code: 'TCPL_E_CONFIG' });
    await identity.shutdown(live());
  });

  it('forgets tombstones and the long gone as time passes', async () => {
    const identity = create('');
    const pairs = new PairSink();
    const metrics = identity.metrics!(pairs, pipeline('metrics'));
    await identity.start(host);
    cgroups.change({ added: [[7, '/system.slice/nginx.service']] });
    const before = source.add(clock, { cgroupId: 7 });
    clock.advance(1_000);
    cgroups.change({ removed: [7] });
    clock.advance(600_000);
    metrics.consume(batchOf(source, 1, [[before, { [SENT]: 1 }]]));
    expect(pairs.rows[0]!.peers.source).toBeUndefined();
    await identity.shutdown(live());
  });
});
