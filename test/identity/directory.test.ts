import { beforeEach, describe, expect, it } from 'vitest';
import { Directory, type DirectoryChange, type Shelf, TOMBSTONE_MS } from '../../src/identity/directory.ts';
import { CgroupOwners } from '../../src/identity/sources/cgroup-owners.ts';
import { addressOf, addressText } from '../../src/semconv/address.ts';
import { FakeCgroups, FakeClock, service, workload } from './fakes.ts';
import { collectGarbage } from './garbage.ts';

let clock: FakeClock;
let directory: Directory;
let shelf: Shelf;

beforeEach(() => {
  clock = new FakeClock();
  directory = new Directory(clock);
  shelf = directory.addShelf('file', '');
});

const nameAt = (address: string, atMs?: number) => shelf.byAddress(addressOf(address), atMs)?.workload.name;

describe('who held an address when', () => {
  it('names the holder of the time, across reuse', () => {
    shelf.markSynced();
    shelf.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.5'] }));
    const underA = clock.now();
    clock.advance(60_000);
    shelf.removeWorkload('a');
    clock.advance(10);
    const between = clock.now();
    clock.advance(10);
    shelf.upsertWorkload(workload({ uid: 'b', addresses: ['10.0.0.5'] }));
    expect(nameAt('10.0.0.5', underA)).toBe('a');
    expect(nameAt('10.0.0.5', between)).toBe('b'); // announced late: the gap is the next holder's
    expect(nameAt('10.0.0.5', clock.now())).toBe('b');
    expect(nameAt('10.0.0.5')).toBe('b');
  });

  it('names nobody now, and the last holder as of then, once it is removed', () => {
    shelf.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.5'] }));
    const then = clock.now();
    clock.advance(1_000);
    shelf.removeWorkload('a');
    expect(nameAt('10.0.0.5')).toBeUndefined();
    expect(nameAt('10.0.0.5', clock.now())).toBeUndefined();
    expect(nameAt('10.0.0.5', then)).toBe('a');
  });

  it('keeps tombstones for at least two minutes and not for ever', () => {
    expect(TOMBSTONE_MS).toBeGreaterThanOrEqual(120_000);
    shelf.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.5'], cgroups: [7] }));
    const then = clock.now();
    clock.advance(1_000);
    shelf.removeWorkload('a');
    clock.advance(TOMBSTONE_MS);
    directory.prune();
    expect(nameAt('10.0.0.5', then)).toBe('a');
    clock.advance(1);
    directory.prune();
    expect(nameAt('10.0.0.5', then)).toBeUndefined();
    expect(shelf.byCgroup(7, then)).toBeUndefined();
  });

  it('holds what was there at first from the beginning of time', () => {
    shelf.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.5'] }));
    expect(nameAt('10.0.0.5', 0)).toBe('a');
  });

  it('looks up cgroups the same way', () => {
    shelf.upsertWorkload(workload({ uid: 'a', cgroups: [7] }));
    const then = clock.now();
    clock.advance(5);
    shelf.upsertWorkload(workload({ uid: 'a', cgroups: [8] }));
    expect(shelf.byCgroup(7, undefined)).toBeUndefined();
    expect(shelf.byCgroup(7, then)?.workload.name).toBe('a');
    expect(shelf.byCgroup(8, undefined)?.workload.name).toBe('a');
  });
});

describe('pods', () => {
  const POD = '2c48913c-b29f-11e7-9350-020968147796';
  const HASH = '0123456789abcdef0123456789abcdef';
  let tree: FakeCgroups;

  beforeEach(() => {
    tree = new FakeCgroups();
    directory = new Directory(clock, TOMBSTONE_MS, new CgroupOwners(tree, clock));
    shelf = directory.addShelf('kubernetes', '');
    shelf.markSynced();
    tree.change({
      added: [
        [2, `/kubepods/pod${POD}`],
        [3, `/kubepods/pod${HASH}`],
      ],
    });
  });

  const nameOf = (cgroup: number, atMs?: number) => shelf.byCgroup(cgroup, atMs)?.workload.name;

  it('are named by the UID of their cgroups, a static pod by each of its own', () => {
    expect(shelf.holdsPods).toBe(false);
    shelf.upsertWorkload(workload({ uid: 'a', podUids: [POD, HASH] }));
    expect([nameOf(2), nameOf(3), nameOf(4)]).toEqual(['a', 'a', undefined]);
    expect(shelf.byPod(HASH, undefined)?.workload.name).toBe('a');
    expect(shelf.holdsPods).toBe(true);
    shelf.upsertWorkload(workload({ uid: 'a', podUids: [POD] }));
    expect([nameOf(2), nameOf(3)]).toEqual(['a', undefined]);
    shelf.removeWorkload('a');
    expect(nameOf(2)).toBeUndefined();
    expect(shelf.holdsPods).toBe(false);
  });

  it('are named as of then, though pod and cgroup have gone', () => {
    shelf.upsertWorkload(workload({ uid: 'a', podUids: [POD] }));
    clock.advance(1_000);
    const then = clock.now();
    clock.advance(1_000);
    shelf.removeWorkload('a');
    tree.change({ removed: [2] });
    expect(nameOf(2)).toBeUndefined();
    expect(nameOf(2, then)).toBe('a');
    clock.advance(TOMBSTONE_MS + 1);
    directory.prune();
    expect(nameOf(2, then)).toBeUndefined();
  });

  it('give way to a workload that names the cgroup itself', () => {
    shelf.upsertWorkload(workload({ uid: 'pod', podUids: [POD] }));
    shelf.upsertWorkload(workload({ uid: 'named', cgroups: [2] }));
    expect(nameOf(2)).toBe('named');
  });

  it('are announced by their cgroups', () => {
    const changes: DirectoryChange[] = [];
    directory.onChange((change) => changes.push(change));
    shelf.upsertWorkload(workload({ uid: 'a', podUids: [POD], cgroups: [9] }));
    shelf.removeWorkload('a');
    expect(changes.map(({ cgroups }) => [...cgroups])).toEqual([
      [9, 2],
      [9, 2],
    ]);
  });
});

describe('updates and removals', () => {
  it('takes all old addresses of an updated object out of the index', () => {
    shelf.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.1', '10.0.0.2'] }));
    clock.advance(1);
    shelf.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.2', '10.0.0.3'] }));
    expect(['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((address) => nameAt(address))).toEqual([undefined, 'a', 'a']);
  });

  it('removes by uid only: the late removal of an old pod does not take the new one away', () => {
    shelf.upsertWorkload(workload({ uid: 'old', addresses: ['10.0.0.5'] }));
    shelf.upsertWorkload(workload({ uid: 'new', addresses: ['10.0.0.5'] }));
    shelf.removeWorkload('old');
    shelf.removeWorkload('old');
    shelf.removeWorkload('never-seen');
    expect(nameAt('10.0.0.5')).toBe('new');
  });

  it('does not index the addresses of host-network workloads, shared or not', () => {
    shelf.upsertWorkload(workload({ uid: 'a', addresses: ['192.0.2.1'], hostNetwork: true, cgroups: [1] }));
    expect(nameAt('192.0.2.1')).toBeUndefined();
    shelf.upsertWorkload(workload({ uid: 'b', addresses: ['192.0.2.1'], hostNetwork: true, cgroups: [2] }));
    expect(nameAt('192.0.2.1')).toBeUndefined();
    expect(shelf.byCgroup(2, undefined)?.workload.name).toBe('b');
  });

  it('prefers a pod with HBONE, a pod, HBONE, then the lowest uid, in any order of arrival', () => {
    const claims = [
      workload({ uid: 'z-entry', addresses: ['10.0.0.9'] }),
      workload({ uid: 'a-entry', addresses: ['10.0.0.9'] }),
      workload({ uid: 'hbone', addresses: ['10.0.0.9'], hbone: true }),
      workload({ uid: 'pod', addresses: ['10.0.0.9'], pod: true }),
      workload({ uid: 'pod-hbone', addresses: ['10.0.0.9'], pod: true, hbone: true }),
    ];
    for (const order of [claims, [...claims].reverse()]) {
      for (const claim of order) shelf.upsertWorkload(claim);
      for (const expected of ['pod-hbone', 'pod', 'hbone', 'a-entry', 'z-entry']) {
        expect(nameAt('10.0.0.9')).toBe(expected);
        shelf.removeWorkload(expected);
      }
      expect(nameAt('10.0.0.9')).toBeUndefined();
    }
  });

  it('looks up in the network of its node', () => {
    const other = directory.addShelf('istiod', 'net1');
    other.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.5'], network: 'net1' }));
    other.upsertWorkload(workload({ uid: 'b', addresses: ['10.0.0.6'], network: 'net2' }));
    expect(other.byAddress(addressOf('10.0.0.5'), undefined)?.workload.name).toBe('a');
    expect(other.byAddress(addressOf('10.0.0.6'), undefined)).toBeUndefined();
  });
});

describe('lives', () => {
  it('marks a workload as gone in place, and alive again when it comes back', () => {
    shelf.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.1'] }));
    const held = shelf.byAddress(addressOf('10.0.0.1'), undefined)!.workload;
    expect(held.goneSinceMs).toBeUndefined();
    clock.advance(5);
    shelf.removeWorkload('a');
    expect(held.goneSinceMs).toBe(clock.now());
    clock.advance(5);
    shelf.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.1'] }));
    expect(shelf.byAddress(addressOf('10.0.0.1'), undefined)!.workload).toBe(held);
    expect(held.goneSinceMs).toBeUndefined();
  });

  it('does not end a life by an update that keeps the name', () => {
    shelf.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.1'] }));
    const held = shelf.byAddress(addressOf('10.0.0.1'), undefined)!.workload;
    shelf.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.2'] }));
    expect(held.goneSinceMs).toBeUndefined();
  });

  it('is forgotten with the last that refers to it', async () => {
    shelf.upsertWorkload(workload({ uid: 'a' }));
    const first = new WeakRef(shelf.workload('a')!.workload);
    shelf.removeWorkload('a');
    await collectGarbage();
    directory.prune();
    expect(first.deref()).toBeUndefined();
    shelf.upsertWorkload(workload({ uid: 'a' }));
    expect(shelf.workload('a')!.workload.goneSinceMs).toBeUndefined();
  });
});

describe('changes', () => {
  let changes: DirectoryChange[];
  beforeEach(() => {
    changes = [];
    shelf.markSynced();
    directory.onChange((change) => changes.push(change));
  });

  it('are told as one when a source has its first whole state', () => {
    const loading = directory.addShelf('loading', '');
    loading.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.1'], cgroups: [1] }));
    loading.upsertService(service({ hostname: 's', vips: [{ network: '', address: '10.96.0.1', length: 32 }] }));
    expect(changes).toEqual([]);
    loading.markSynced();
    loading.markSynced();
    expect(changes).toEqual([{ addresses: new Set(), cgroups: new Set(), ranges: [], synced: true }]);
  });

  it('names the addresses and cgroups of both versions', () => {
    shelf.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.1'], cgroups: [1] }));
    shelf.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.2'], cgroups: [2] }));
    expect([...changes[1]!.addresses].map(addressText)).toEqual(['10.0.0.1', '10.0.0.2']);
    expect([...changes[1]!.cgroups]).toEqual([1, 2]);
  });

  it('is silent about an object pushed again as it is', () => {
    const ports = () => new Map([['default/s', new Map([[80, 8080]])]]);
    shelf.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.1'], services: ports() }));
    shelf.upsertWorkload(workload({ uid: 'a', addresses: ['10.0.0.1'], services: ports() }));
    shelf.upsertService(service({ hostname: 's', ports: new Map([[80, 8080]]) }));
    shelf.upsertService(service({ hostname: 's', ports: new Map([[80, 8080]]) }));
    expect(changes).toHaveLength(2);
  });

  it('names a service change by its VIPs, and by the addresses of those behind it', () => {
    shelf.upsertWorkload(
      workload({ uid: 'a', addresses: ['10.0.0.1'], cgroups: [1], services: new Map([['default/s', new Map()]]) }),
    );
    shelf.upsertService(
      service({
        hostname: 's',
        vips: [
          { network: '', address: '10.96.0.1', length: 32 },
          { network: '', address: '10.97.0.0', length: 16 },
        ],
      }),
    );
    expect([...changes[1]!.addresses].map(addressText).sort()).toEqual(['10.0.0.1', '10.96.0.1']);
    expect([...changes[1]!.cgroups]).toEqual([1]);
    expect(changes[1]!.ranges).toEqual([{ network: '', address: '10.97.0.0', length: 16 }]);
    shelf.removeService('default/s');
    expect([...changes[2]!.addresses].map(addressText).sort()).toEqual(['10.0.0.1', '10.96.0.1']);
  });
});

describe('services', () => {
  const vip = (address: string, length = 32) => ({ network: '', address, length });
  const byAddress = (address: string, namespace?: string) =>
    shelf.services.byAddress('', addressOf(address), namespace)?.service.hostname;
  const byPrefix = (address: string) => shelf.services.byPrefix('', addressOf(address), undefined)?.service.hostname;

  it('finds the exact VIP, and the longest prefix that covers an address', () => {
    shelf.upsertService(service({ hostname: 'one', vips: [vip('10.96.0.1')] }));
    shelf.upsertService(service({ hostname: 'eight', vips: [vip('10.0.0.0', 8)] }));
    shelf.upsertService(service({ hostname: 'sixteen', vips: [vip('10.96.0.0', 16)] }));
    shelf.upsertService(service({ hostname: 'six', vips: [{ network: '', address: 'fd00::', length: 8 }] }));
    expect(byAddress('10.96.0.1')).toBe('one');
    expect(byAddress('10.96.0.2')).toBeUndefined();
    expect(byPrefix('10.96.0.2')).toBe('sixteen');
    expect(byPrefix('10.1.0.1')).toBe('eight');
    expect(byPrefix('11.0.0.1')).toBeUndefined();
    expect(byPrefix('fd12::1')).toBe('six');
    shelf.removeService('default/sixteen');
    expect(byPrefix('10.96.0.2')).toBe('eight');
  });

  it("prefers the client's namespace, then the canonical one, then the lowest key", () => {
    shelf.upsertService(service({ hostname: 's', namespace: 'zoo', vips: [vip('10.96.0.1')] }));
    shelf.upsertService(service({ hostname: 's.b', namespace: 'b', vips: [vip('10.96.0.1')] }));
    shelf.upsertService(service({ hostname: 's.c', namespace: 'c', vips: [vip('10.96.0.1')], canonical: true }));
    expect(byAddress('10.96.0.1', 'zoo')).toBe('s');
    expect(byAddress('10.96.0.1', 'elsewhere')).toBe('s.c');
    expect(byAddress('10.96.0.1')).toBe('s.c');
    shelf.removeService('c/s.c');
    expect(byAddress('10.96.0.1')).toBe('s.b');
  });

  it('keeps networks apart', () => {
    shelf.upsertService(service({ hostname: 's', vips: [{ network: 'net1', address: '10.96.0.1', length: 32 }] }));
    expect(byAddress('10.96.0.1')).toBeUndefined();
    expect(shelf.services.byAddress('net1', addressOf('10.96.0.1'), undefined)?.service.hostname).toBe('s');
  });

  it("knows addresses that are a service's at some ports only", () => {
    const at = (port: number) => ({ ...vip('10.96.0.1'), port });
    const range = (port: number) => ({ ...vip('10.97.0.0', 16), port });
    shelf.upsertService(service({ hostname: 'a', vips: [at(80), at(81), range(80)] }));
    shelf.upsertService(service({ hostname: 'b', vips: [at(443), vip('10.0.0.0', 8)] }));
    const exact = (port?: number) =>
      shelf.services.byAddress('', addressOf('10.96.0.1'), undefined, port)?.service.hostname;
    const covering = (port?: number) =>
      shelf.services.byPrefix('', addressOf('10.97.0.1'), undefined, port)?.service.hostname;
    expect([80, 81, 443, 8080, undefined].map(exact)).toEqual(['a', 'a', 'b', undefined, 'a']);
    expect([80, 443, undefined].map(covering)).toEqual(['a', 'b', 'a']);
    shelf.removeService('default/a');
    expect([80, 443].map(exact)).toEqual([undefined, 'b']);
    expect([80, 443].map(covering)).toEqual(['b', 'b']);
  });

  const holder = () => shelf.byAddress(addressOf('10.0.0.1'), undefined)!;
  const byPort = (port: number) => holder().backed.byTargetPort(port)?.hostname;

  it('finds the service by target port, lowest FQDN first', () => {
    shelf.upsertService(service({ hostname: 'b.default', ports: new Map([[80, 8080]]) }));
    shelf.upsertService(service({ hostname: 'a.default', ports: new Map([[81, 8080]]) }));
    shelf.upsertService(service({ hostname: 'other', ports: new Map([[80, 9090]]) }));
    const services = ['default/b.default', 'default/a.default', 'default/other', 'default/missing'];
    shelf.upsertWorkload(
      workload({ uid: 'w', addresses: ['10.0.0.1'], services: new Map(services.map((key) => [key, new Map()])) }),
    );
    expect([byPort(8080), byPort(9090), byPort(80)]).toEqual(['a.default', 'other', undefined]);
  });

  it('finds one that is dialled by a virtual address before a headless one', () => {
    const ports = new Map([[80, 8080]]);
    const names = ['db-headless', 'db', 'db-replicas'];
    for (const hostname of names) {
      const vips = hostname === 'db-headless' ? [] : [vip(`10.96.0.${names.indexOf(hostname)}`)];
      shelf.upsertService(service({ hostname, vips, ports }));
    }
    const services = new Map(names.map((name) => [`default/${name}`, new Map<number, number>()]));
    shelf.upsertWorkload(workload({ uid: 'w', addresses: ['10.0.0.1'], services }));
    expect(byPort(8080)).toBe('db');
    for (const name of ['db', 'db-replicas']) shelf.removeService(`default/${name}`);
    expect(byPort(8080)).toBe('db-headless');
  });

  it("takes a named port's number from the workload's own entry; a workload that lacks it does not serve it", () => {
    shelf.upsertService(service({ hostname: 's', ports: new Map([[80, 0]]) }));
    shelf.upsertWorkload(
      workload({ uid: 'w', addresses: ['10.0.0.1'], services: new Map([['default/s', new Map([[80, 8080]])]]) }),
    );
    expect(byPort(8080)).toBe('s');
    shelf.upsertWorkload(
      workload({ uid: 'w', addresses: ['10.0.0.1'], services: new Map([['default/s', new Map()]]) }),
    );
    expect([byPort(8080), byPort(0)]).toEqual([undefined, undefined]);
  });

  describe('who is behind a VIP', () => {
    const behind = (port = 80) => shelf.services.backing(shelf.services.held('default/s')!, port).workload;
    const backs = (ports: [number, number][] = []) => new Map([['default/s', new Map(ports)]]);
    const endpoint = (uid: string, name: string, podName: string, zone: string) => {
      const object = workload({ uid, name, services: backs() });
      return { ...object, fields: { ...object.fields, podName, zone } };
    };

    beforeEach(() => shelf.upsertService(service({ hostname: 's', ports: new Map([[80, 8080]]) })));

    it('is the one workload, without the fields in which its pods differ', () => {
      shelf.upsertWorkload(endpoint('a', 'server', 'server-1', 'eu-1a'));
      expect(behind()).toMatchObject({ name: 'server', podName: 'server-1', zone: 'eu-1a' });
      shelf.upsertWorkload(endpoint('b', 'server', 'server-2', 'eu-1b'));
      const common = behind()!;
      expect(common).toMatchObject({ name: 'server', namespace: 'default', podName: undefined, zone: undefined });
      expect(common.goneSinceMs).toBeUndefined();
    });

    it('is nobody if they are several workloads, or none', () => {
      expect(behind()).toBeUndefined();
      shelf.upsertWorkload(endpoint('a', 'server-v1', 'p1', 'z'));
      shelf.upsertWorkload(endpoint('b', 'server-v2', 'p2', 'z'));
      expect(behind()).toBeUndefined();
      shelf.removeWorkload('b');
      expect(behind()?.name).toBe('server-v1');
    });

    it('leaves out endpoints without the named port, and ports that the service has not', () => {
      shelf.upsertService(service({ hostname: 's', ports: new Map([[80, 0]]) }));
      shelf.upsertWorkload(workload({ uid: 'a', name: 'has', services: backs([[80, 8080]]) }));
      shelf.upsertWorkload(workload({ uid: 'b', name: 'lacks', services: backs() }));
      expect(behind()?.name).toBe('has');
      expect(behind(81)).toBeUndefined();
    });
  });
});
