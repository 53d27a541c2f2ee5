import { beforeEach, expect, it } from 'vitest';
import { CgroupOwners } from '../../../src/identity/sources/cgroup-owners.ts';
import { FakeCgroups, FakeClock } from '../fakes.ts';

const A = '2c48913c-b29f-11e7-9350-020968147796';
const B = '3d59a24d-b29f-11e7-9350-020968147796';
const ID = 'c'.repeat(64);

let clock: FakeClock;
let tree: FakeCgroups;
let owners: CgroupOwners;

beforeEach(() => {
  clock = new FakeClock();
  tree = new FakeCgroups();
  owners = new CgroupOwners(tree, clock);
  tree.change({
    added: [
      [1, '/'],
      [2, `/kubepods/pod${A}`],
      [3, `/kubepods/pod${A}/${ID}`],
      [4, '/system.slice/nginx.service'],
      [5, `/system.slice/docker-${ID}.scope`],
    ],
  });
});

it('knows the pod and the container of a cgroup; a unit is nobody here', () => {
  expect(owners.owner(2, undefined)).toEqual({ podUid: A, containerId: undefined });
  expect(owners.owner(3, undefined)).toEqual({ podUid: A, containerId: ID });
  expect(owners.owner(5, undefined)).toEqual({ podUid: undefined, containerId: ID });
  for (const id of [1, 4, 99]) expect(owners.owner(id, undefined)).toBeUndefined();
});

it('what was there at first was there from the beginning', () => {
  expect(owners.owner(3, 0)?.podUid).toBe(A);
});

it('has the cgroups of a pod, as they come and go', () => {
  expect([...owners.cgroupsOf(A)]).toEqual([2, 3]);
  tree.change({ removed: [3] });
  expect([...owners.cgroupsOf(A)]).toEqual([2]);
  tree.change({ removed: [2, 4] });
  expect([...owners.cgroupsOf(A)]).toEqual([]);
});

it('a cgroup that has gone answers for what was before, and no longer than tombstones last', () => {
  const then = clock.now();
  clock.advance(1_000);
  tree.change({ removed: [3] });
  expect(owners.owner(3, undefined)).toBeUndefined();
  expect(owners.owner(3, then)?.podUid).toBe(A);
  owners.prune(clock.now() + 1);
  expect(owners.owner(3, then)).toBeUndefined();
});

it('an id that is used again belongs to each in its time', () => {
  const then = clock.now();
  clock.advance(1_000);
  tree.change({ removed: [3], added: [[3, `/kubepods/pod${B}/${ID}`]] });
  expect(owners.owner(3, then)?.podUid).toBe(A);
  expect(owners.owner(3, clock.now())?.podUid).toBe(B);
  expect([...owners.cgroupsOf(B)]).toEqual([3]);
});

it('a cgroup was there before the walk that found it', () => {
  tree.change({ added: [[6, `/kubepods/pod${B}`]] });
  expect(owners.owner(6, clock.now() - 500)?.podUid).toBe(B);
});

it('learns nothing more once it is closed', () => {
  owners.close();
  tree.change({ added: [[7, `/kubepods/pod${B}`]] });
  expect(owners.owner(7, undefined)).toBeUndefined();
});
