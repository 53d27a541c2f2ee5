import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { Directory } from '../../../src/identity/directory.ts';
import { createFileSource, describeFile } from '../../../src/identity/sources/file.ts';
import { parseWorkloadFile } from '../../../src/identity/sources/workload-file.ts';
import { addressOf } from '../../../src/semconv/address.ts';
import { FakeCgroups, FakeClock, FakeLogger, sourceSettings } from '../fakes.ts';

const MESH = `
workloads:
- uid: Kubernetes//Pod/shop/server-5d4b-fghij
  name: server-5d4b-fghij
  namespace: shop
  workloadName: server
  workloadType: deployment
  canonicalName: server
  canonicalRevision: v2
  workloadIps: ["10.0.0.2", "::ffff:10.0.0.3", "FD00:0::2"]
  protocol: HBONE
  node: node-1
  locality: {region: eu-1, zone: eu-1b}
  services:
    shop/server.shop.svc.cluster.local: {80: 8080, "443": 8443}
- name: bare
policies: [{anything: goes}]
services:
- name: server
  namespace: shop
  hostname: server.shop.svc.cluster.local
  vips: ["/10.96.0.1", "net1/10.96.0.2", 10.96.0.3, "10.97.0.7/16", "net1/fd00::/64"]
  ports: {80: 8080, 443: 0}
  subjectAltNames: []
`;

describe('the layout', () => {
  it('is read, as YAML and as JSON', async () => {
    for (const text of [MESH, JSON.stringify(parse(MESH)), JSON.stringify(parse(MESH), null, 2)]) {
      const { workloads, services } = await parseWorkloadFile(text, 'w.yaml');
      expect(workloads.map(({ name, uid }) => [name, uid])).toEqual([
        ['server-5d4b-fghij', 'Kubernetes//Pod/shop/server-5d4b-fghij'],
        ['bare', 'file//bare'],
      ]);
      expect(workloads[0]).toMatchObject({
        addresses: ['10.0.0.2', '10.0.0.3', 'fd00::2'],
        hbone: true,
        hostNetwork: false,
        region: 'eu-1',
        zone: 'eu-1b',
        services: new Map([
          [
            'shop/server.shop.svc.cluster.local',
            new Map([
              [80, 8080],
              [443, 8443],
            ]),
          ],
        ]),
      });
      expect(services).toEqual([
        {
          key: 'shop/server.shop.svc.cluster.local',
          service: { name: 'server', namespace: 'shop', hostname: 'server.shop.svc.cluster.local' },
          vips: [
            { network: '', address: '10.96.0.1', length: 32 },
            { network: 'net1', address: '10.96.0.2', length: 32 },
            { network: '', address: '10.96.0.3', length: 32 },
            { network: '', address: '10.97.0.0', length: 16 },
            { network: 'net1', address: 'fd00::', length: 64 },
          ],
          ports: new Map([
            [80, 8080],
            [443, 0],
          ]),
          canonical: false,
        },
      ]);
    }
  });

  it.each(['', '{}', 'workloads:\n', 'workloads: []\nservices: []\n', '# nothing\n'])(
    'may be empty: %j',
    async (text) => {
      if (text === '' || text.startsWith('#')) {
        await expect(parseWorkloadFile(text, 'w.yaml')).rejects.toThrow('not a map');
      } else expect(await parseWorkloadFile(text, 'w.yaml')).toEqual({ workloads: [], services: [] });
    },
  );

  it.each([
    [
      'workloads:\n- name: a\n  workloadIps: [10.0.0.300]\n',
      'w.yaml:3: workloads[0].workloadIps[0]: found "10.0.0.300"',
    ],
    ['workloads:\n- name: a\n- workloadName: b\n', 'w.yaml:3: workloads[1].name: missing'],
    [
      'workloads:\n- name: a\n  workloadIp: [10.0.0.1]\n',
      'w.yaml:3: workloads[0].workloadIp: unknown key "workloadIp". Did you mean "workloadIps"?',
    ],
    [
      'workloads:\n- name: a\n  networkMode: hostNetwork\n',
      'w.yaml:3: workloads[0].networkMode: found "hostNetwork". Allowed: Standard or HostNetwork.',
    ],
    ['workloads:\n- name: 5\n', 'w.yaml:2: workloads[0].name: found the number 5'],
    [
      'workloads:\n- name: a\n  services: {nginx: {80: 80}}\n',
      'w.yaml:3: workloads[0].services.nginx: found the key "nginx". Allowed: namespace/hostname',
    ],
    ['workloads:\n- name: a\n  services: {a/b: {80: x}}\n', 'w.yaml:3: workloads[0].services.a/b.80: found no port'],
    ['workloads:\n- name: a\n  locality: eu-1\n', 'w.yaml:3: workloads[0].locality: found something else'],
    [
      'workloads:\n- name: a\n  cgroupPaths: [nginx.service]\n',
      'w.yaml:3: workloads[0].cgroupPaths[0]: found "nginx.service"',
    ],
    [
      'workloads:\n- name: a\n  podUids: [0A1B2C3D-0001-4000-8000-00000000000A]\n',
      'w.yaml:3: workloads[0].podUids[0]: found "0A1B2C3D-0001-4000-8000-00000000000A"',
    ],
    ['workloads: {name: a}\n', 'w.yaml:1: workloads: found no list'],
    [
      'workload:\n- name: a\n',
      'w.yaml:1: workload: unknown key. Allowed: workloads, services, policies. Did you mean "workloads"?',
    ],
    [
      'services:\n- name: s\n  namespace: d\n  hostname: s.d\n  vips: [net/10.0.0]\n',
      'w.yaml:5: services[0].vips[0]: found "net/10.0.0"',
    ],
    [
      'services:\n- name: s\n  namespace: d\n  hostname: s.d\n  vips: [10.0.0.0/33]\n',
      'w.yaml:5: services[0].vips[0]: found "10.0.0.0/33"',
    ],
    ['services:\n- name: s\n  namespace: d\n', 'w.yaml:2: services[0].hostname: missing'],
    ['workloads:\n- name: a\n  name: b\n', 'w.yaml:3: workloads[0]: Map keys must be unique'],
    ['workloads:\n- name: "a\n', 'w.yaml:3: workloads[0]: Missing closing "quote'],
    ['workloads:\n- name: a\n stray\n', 'w.yaml:2: Sequence item without'],
    ['workloads:\n- name: a\nnonsense\n', 'w.yaml:3:'],
    ['workloads: []\nworkloads: []\n', 'w.yaml:2: Map keys must be unique'],
    ['{"workloads": [{"name": "a"}', 'w.yaml:1:'],
    ['workloads: []\n---\nworkloads: []\n', 'w.yaml:2: a second document'],
    ['- name: a\n', 'w.yaml:1: the file is not a map'],
    ['workloads:\n- {uid: x, name: a}\n- {uid: x, name: b}\n', 'w.yaml: two items have the uid "x"'],
    ['workloads:\n- &a {name: a}\n- *a\n', 'w.yaml:3: workloads[1]: found something else'],
  ])('%j is refused', async (text, message) => {
    const error = await parseWorkloadFile(text, 'w.yaml').catch((reason) => reason);
    expect(error.code).toBe('TCPL_E_CONFIG');
    expect(error.message).toContain(message);
  });

  it('reads over keys of ztunnel and of releases to come', async () => {
    const text = 'workloads:\n- name: a\n  waypoint: {destination: x}\n  nativeTunnel: true\n  somethingQuiteNew: 1\n';
    expect((await parseWorkloadFile(text, 'w.yaml')).workloads).toHaveLength(1);
  });

  it('takes a list that ends with a long item', async () => {
    const services = Array.from({ length: 60 }, (_, i) => `    shop/server-${i}.shop.svc.cluster.local: {80: 8080}\n`);
    const text = `workloads:\n- name: a\n  services:\n${services.join('')}services:\n- {name: s, namespace: d, hostname: s.d}\n`;
    const file = await parseWorkloadFile(text, 'w.yaml');
    expect(file.workloads[0]?.services.size).toBe(60);
    expect(file.services).toHaveLength(1);
  });

  it('says of any large file what it says of its items', async () => {
    const item = (i: number) =>
      `- name: w-${i} # comment\n  namespace: ns\n\n  workloadIps: [10.0.${i >> 8}.${i & 255}]\n`;
    const numbers = Array.from({ length: 3_000 }, (_, i) => i);
    const block = `workloads:\n${numbers.map(item).join('')}# behind the list\nservices: []\n`;
    const { workloads } = await parseWorkloadFile(block, 'w.yaml');
    expect(workloads.map(({ name, addresses }) => [name, addresses])).toEqual(
      numbers.map((i) => [`w-${i}`, [`10.0.${i >> 8}.${i & 255}`]]),
    );
    const flow = JSON.stringify({ workloads: numbers.map((i) => ({ name: `w-${i}` })), services: [] });
    expect((await parseWorkloadFile(flow, 'w.yaml')).workloads.map(({ name }) => name)).toEqual(
      numbers.map((i) => `w-${i}`),
    );
  });

  it.each([
    ['a comment that touches an item', '{name: x}#\n ', 'Comments must be separated'],
    ['an item too few', ',', 'Unexpected , in flow sequence'],
  ])('refuses %s in the middle of a large file', async (_, damage, message) => {
    const items = Array.from({ length: 200 }, (_, i) => `{name: w-${i}}`).join();
    const error = await parseWorkloadFile(`workloads: [${items},${damage},${items}]\n`, 'w.yaml').catch((e) => e);
    expect(error.message).toContain(message);
  });

  it('refuses what is no YAML, wherever it is damaged', () => {
    // Long enough for items to be taken before the document is over.
    const many = Array.from({ length: 40 }, (_, i) => `w-${i}`);
    const valid = [
      MESH,
      `workloads:\n${many.map((name) => `- name: ${name} # comment\n`).join('')}# behind\nservices:\n  - &s {name: s, namespace: d, hostname: s.d}\n\n`,
      JSON.stringify({ services: [], workloads: many.map((name) => ({ name, workloadIps: [] })), policies: [] }),
      `workloads: [${many.map((name) => `{name: ${name}}, # comment\n`).join(' ')}]\n`,
    ];
    const damage = fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        cut: fc.nat(3),
        text: fc.constantFrom(
          '',
          '-',
          '- ',
          ',',
          '[',
          ']',
          '{',
          '}',
          '#',
          ' #',
          '\t',
          ' ',
          '\n',
          '\n- ',
          ':',
          '&a ',
          '"',
        ),
      }),
      { minLength: 1, maxLength: 3 },
    );
    return fc.assert(
      fc.asyncProperty(fc.constantFrom(...valid), damage, async (text, edits) => {
        let damaged = text;
        for (const { at, cut, text: inserted } of edits) {
          const position = Math.floor(at * damaged.length);
          damaged = damaged.slice(0, position) + inserted + damaged.slice(position + cut);
        }
        const read = await parseWorkloadFile(damaged, 'w.yaml').then(
          () => true,
          (error) => {
            if (error.code !== 'TCPL_E_CONFIG') throw error;
            return false;
          },
        );
        if (read) expect(parseAllDocuments(damaged).flatMap(({ errors }) => errors)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('tells ten mistakes and how many more there are', async () => {
    const text = `workloads:\n${'- workloadName: x\n'.repeat(25)}`;
    const { message } = await parseWorkloadFile(text, 'w.yaml').catch((error) => error);
    expect(message.split('\n')).toHaveLength(11);
    expect(message).toContain('w.yaml:11: workloads[9].name');
    expect(message).toContain('and 15 more');
  });
});

describe('the source', () => {
  let folder: string;
  let path: string;
  let clock: FakeClock;
  let cgroups: FakeCgroups;
  let directory: Directory;
  let logger: FakeLogger;
  let changed: () => void;
  let watching: boolean;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tcpledger-file-'));
    path = join(folder, 'workloads.yaml');
    clock = new FakeClock();
    cgroups = new FakeCgroups();
    directory = new Directory(clock);
    logger = new FakeLogger();
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function start(text: string, network = '') {
    await writeFile(path, text);
    const source = createFileSource(
      sourceSettings({ logger, clock, directory, cgroups }),
      { path, network },
      (_path, onChange) => {
        watching = true;
        changed = onChange;
        return { close: () => (watching = false) };
      },
    );
    await source.start();
    return source;
  }
  const loggedLines = async (count: number) => expect.poll(() => logger.lines.length).toBeGreaterThanOrEqual(count);

  it('18, 19, 20: fills in what the mesh elides, and leaves unknown what is unknown', async () => {
    const source = await start(MESH);
    expect(source.missing()).toBeUndefined();
    expect(source.shelf.byAddress(addressOf('10.0.0.3'), undefined)!.workload).toEqual({
      name: 'server',
      namespace: 'shop',
      podName: 'server-5d4b-fghij',
      podUid: undefined,
      containerId: undefined,
      canonicalService: 'server',
      canonicalRevision: 'v2',
      principal: 'spiffe://cluster.local/ns/shop/sa/default',
      cluster: 'Kubernetes',
      region: 'eu-1',
      zone: 'eu-1b',
      node: 'node-1',
      goneSinceMs: undefined,
    });
    expect(source.shelf.byAddress(addressOf('10.0.0.3'), undefined)!.object).toMatchObject({ pod: true, hbone: true });
  });

  it('19: an empty canonical name or revision is unknown, latest passes', async () => {
    const source = await start(
      'workloads:\n- {name: a, workloadIps: [10.0.0.1], canonicalName: "", canonicalRevision: latest, serviceAccount: ""}\n',
    );
    expect(source.shelf.byAddress(addressOf('10.0.0.1'), undefined)!.workload).toMatchObject({
      name: 'a',
      namespace: undefined,
      canonicalService: undefined,
      canonicalRevision: 'latest',
      principal: undefined,
    });
  });

  it('knows pods by what their cgroups call them', async () => {
    const uid = '0a1b2c3d-0001-4000-8000-00000000000a';
    const hash = '0123456789abcdef0123456789abcdef';
    const source = await start(
      `workloads:\n- {name: a, podUids: [${uid}, ${hash}], workloadIps: [192.0.2.1], networkMode: HostNetwork}\n- {name: b}\n`,
    );
    expect(source.usesCgroups).toBe(true);
    expect(source.shelf.byPod(uid, undefined)!.workload).toMatchObject({ name: 'a', podUid: uid });
    expect(source.shelf.byPod(hash, undefined)!.workload).toMatchObject({ name: 'a', podUid: uid });
    expect(source.shelf.byAddress(addressOf('192.0.2.1'), undefined)).toBeUndefined();
  });

  it('24: looks up in the configured network', async () => {
    const source = await start('workloads:\n- {name: a, workloadIps: [10.0.0.1], network: net1}\n', 'net1');
    expect(source.shelf.byAddress(addressOf('10.0.0.1'), undefined)?.workload.name).toBe('a');
  });

  it('refuses to start without its file, or with a bad one', async () => {
    await expect(start('workloads: 5\n')).rejects.toThrow(`${path}:1: workloads: found no list`);
    await rm(path);
    const settings = sourceSettings({ logger, clock, directory, cgroups });
    const source = createFileSource(settings, { path, network: '' }, () => ({ close() {} }));
    await expect(source.start()).rejects.toMatchObject({
      code: 'TCPL_E_CONFIG',
      message: expect.stringContaining(`cannot read the workload file ${path}`),
    });
    expect(source.missing()).toContain(path);
    expect(await describeFile({ path, network: '' })).toMatchObject({ ok: false });
  });

  it('takes a version that comes while the first one is being applied after it', async () => {
    let walking = false;
    let walked = () => {};
    cgroups.start = () =>
      new Promise((resolve) => {
        walking = true;
        walked = resolve;
      });
    const starting = start('workloads:\n- {name: a, workloadIps: [10.0.0.1], cgroupPaths: [/a]}\n');
    await expect.poll(() => walking).toBe(true);
    await writeFile(path, 'workloads:\n- {name: b, workloadIps: [10.0.0.1]}\n');
    changed();
    // Time in which it could get ahead.
    await new Promise((resolve) => setTimeout(resolve, 50));
    walked();
    const source = await starting;
    await loggedLines(1);
    expect(source.shelf.byAddress(addressOf('10.0.0.1'), undefined)!.workload.name).toBe('b');
    expect(source.shelf.workloadCount).toBe(1);
    await source.shutdown();
  });

  it('takes a new version: what is gone is gone, what is unchanged stays', async () => {
    const source = await start(
      'workloads:\n- {name: a, workloadIps: [10.0.0.1]}\n- {name: b, workloadIps: [10.0.0.2]}\n',
    );
    const [a, b] = ['10.0.0.1', '10.0.0.2'].map((ip) => source.shelf.byAddress(addressOf(ip), undefined)!);
    await writeFile(path, 'workloads:\n- {name: b, workloadIps: [10.0.0.2]}\n- {name: c, workloadIps: [10.0.0.1]}\n');
    changed();
    await loggedLines(1);
    expect(source.shelf.byAddress(addressOf('10.0.0.1'), undefined)!.workload.name).toBe('c');
    expect(source.shelf.byAddress(addressOf('10.0.0.2'), undefined)).toBe(b);
    expect(a!.workload.goneSinceMs).toBe(clock.now());
    expect(b!.workload.goneSinceMs).toBeUndefined();
    expect(logger.lines).toEqual([`info ${path} read again: 2 workloads, 0 services`]);
    await source.shutdown();
    expect(watching).toBe(false);
  });

  it.each([
    ['malformed', 'workloads: [}\n'],
    ['half-written', '{"workloads": [{"name": "a", "workloadIps": ["10.0.'],
    ['wrong', 'workloads:\n- {name: z}\n- {workloadIps: [10.0.0.1]}\n'],
  ])('keeps the old version where the new one is %s, and says so once', async (_, text) => {
    const source = await start('workloads:\n- {name: a, workloadIps: [10.0.0.1]}\n');
    await writeFile(path, text);
    changed();
    await loggedLines(1);
    changed();
    await source.shutdown();
    expect(logger.lines).toHaveLength(1);
    expect(logger.lines[0]).toMatch(/^error .*last good version stays/);
    expect(logger.lines[0]).toContain(`${path}:`);
    expect(source.shelf.workloadCount).toBe(1);
    expect(source.shelf.byAddress(addressOf('10.0.0.1'), undefined)?.workload.name).toBe('a');
  });

  it('keeps the old version where the file has gone', async () => {
    const source = await start('workloads:\n- {name: a, workloadIps: [10.0.0.1]}\n');
    await rm(path);
    changed();
    await loggedLines(1);
    expect(logger.lines[0]).toContain('ENOENT');
    expect(source.shelf.workloadCount).toBe(1);
  });

  it('names the processes of cgroups, by the nearest path above, now and later', async () => {
    cgroups.change({
      added: [
        [1, '/'],
        [2, '/system.slice'],
        [3, '/system.slice/nginx.service/workers'],
      ],
    });
    const source = await start(
      'workloads:\n- {name: web, cgroupPaths: [/system.slice/nginx.service]}\n- {name: rest, cgroupPaths: [/sys/fs/cgroup/system.slice/]}\n',
    );
    const name = (id: number) => source.shelf.byCgroup(id, undefined)?.workload.name;
    expect([1, 2, 3].map(name)).toEqual([undefined, 'rest', 'web']);
    expect(source.usesCgroups).toBe(true);
    cgroups.change({ added: [[4, '/system.slice/nginx.service']], removed: [3] });
    expect([2, 3, 4].map(name)).toEqual(['rest', undefined, 'web']);
  });
});
