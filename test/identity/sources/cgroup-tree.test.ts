import { accessSync, constants, mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm, rmdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findCgroup2Mount } from '../../../src/collector/cgroup-mount.ts';
import { Directory } from '../../../src/identity/directory.ts';
import {
  type CgroupChange,
  type CgroupTree,
  createCgroupTree,
  WALK_GAP_MS,
  WALK_INTERVAL_MS,
} from '../../../src/identity/sources/cgroup-tree.ts';
import { createHostSource, describeHost } from '../../../src/identity/sources/host.ts';
import { FakeClock, FakeLogger, sourceSettings } from '../fakes.ts';

describe('the mount point', () => {
  it('is that of the unified hierarchy, on unified and on hybrid hosts', () => {
    const unified = '30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n';
    const hybrid =
      '32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n';
    expect(findCgroup2Mount(unified)).toBe('/sys/fs/cgroup');
    expect(findCgroup2Mount(hybrid)).toBe('/sys/fs/cgroup/unified');
    expect(findCgroup2Mount('41 31 0:38 / /mnt/a\\040b rw - cgroup2 none rw\n')).toBe('/mnt/a b');
    expect(findCgroup2Mount('32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n')).toBeUndefined();
  });
});

describe('the tree, over plain directories', () => {
  let root: string;
  let clock: FakeClock;
  let logger: FakeLogger;
  let tree: CgroupTree;
  let changes: CgroupChange[];

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'tcpledger-cgroup-'));
    await mkdir(join(root, 'system.slice/nginx.service'), { recursive: true });
    clock = new FakeClock();
    logger = new FakeLogger();
    tree = createCgroupTree({ clock, logger, mountPoint: root });
    changes = [];
    tree.onChange((change) => changes.push(change));
    await tree.start();
    changes.length = 0;
  });
  afterEach(async () => {
    await tree.stop();
    await rm(root, { recursive: true, force: true });
  });

  const id = async (path: string) => (await stat(join(root, path))).ino;

  it('knows each directory by its inode', async () => {
    expect(tree.path(await id('.'))).toBe('/');
    expect(tree.path(await id('system.slice/nginx.service'))).toBe('/system.slice/nginx.service');
    expect([...tree.entries()]).toHaveLength(3);
    expect(tree.looking(await id('system.slice'))).toBe(false);
  });

  it('walks again for an id it does not have, not more often than once a second', async () => {
    await mkdir(join(root, 'new.service'));
    const added = await id('new.service');
    expect(tree.looking(added)).toBe(true);
    clock.advance(WALK_GAP_MS - 1);
    expect(tree.path(added)).toBeUndefined();
    expect(tree.looking(added)).toBe(true);
    clock.advance(1);
    await expect.poll(() => tree.path(added)).toBe('/new.service');
    expect(tree.looking(added)).toBe(false);
    expect(changes).toEqual([{ added: new Map([[added, '/new.service']]), removed: new Map(), absent: new Set() }]);
  });

  it('says that an id is absent, and does not walk for it again at once', async () => {
    expect(tree.looking(987_654_321_987)).toBe(true);
    clock.advance(WALK_GAP_MS);
    await expect.poll(() => changes.length).toBe(1);
    expect(changes[0]!.absent).toEqual(new Set([987_654_321_987]));
    expect(tree.looking(987_654_321_987)).toBe(false);
    expect(tree.looking(0)).toBe(false);
  });

  it('sees removals when nothing is missed', async () => {
    const removed = await id('system.slice/nginx.service');
    await rmdir(join(root, 'system.slice/nginx.service'));
    clock.advance(WALK_INTERVAL_MS);
    await expect.poll(() => tree.path(removed)).toBeUndefined();
    expect(changes[0]!.removed).toEqual(new Map([[removed, '/system.slice/nginx.service']]));
    expect(tree.looking(removed)).toBe(false);
  });

  it('keeps what it knows when the hierarchy cannot be read, and says why', async () => {
    await rm(root, { recursive: true });
    clock.advance(WALK_INTERVAL_MS);
    await expect.poll(() => tree.problem).toContain('ENOENT');
    expect([...tree.entries()]).toHaveLength(3);
    expect(logger.lines).toHaveLength(1);
  });
});

const mountPoint = findCgroup2Mount(readFileSync('/proc/self/mountinfo', 'utf8'));

/** Why no cgroup can be made here; undefined if one can. */
function whyNot(): string | undefined {
  if (mountPoint === undefined) return 'no cgroup2 file system is mounted';
  try {
    accessSync(mountPoint, constants.W_OK);
    const probe = join(mountPoint, `tcpledger-probe-${process.pid}`);
    mkdirSync(probe);
    rmdirSync(probe);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const reason = whyNot();

describe.skipIf(reason !== undefined)(`a real cgroup${reason ? ` (skipped: ${reason})` : ''}`, () => {
  const unit = join(mountPoint ?? '', `tcpledger-test-${process.pid}.service`);

  it('names its unit while it exists', async () => {
    const clock = new FakeClock();
    const logger = new FakeLogger();
    const directory = new Directory(clock);
    const cgroups = createCgroupTree({ clock, logger });
    const host = createHostSource(sourceSettings({ logger, clock, directory, cgroups }), 'node-1');
    mkdirSync(unit);
    try {
      await host.start();
      const { ino } = await stat(unit);
      const { workload } = host.shelf.byCgroup(ino, undefined)!;
      expect(workload).toMatchObject({ name: `tcpledger-test-${process.pid}`, node: 'node-1', goneSinceMs: undefined });
      rmdirSync(unit);
      clock.advance(WALK_INTERVAL_MS);
      await expect.poll(() => workload.goneSinceMs).toBeDefined();
      expect(host.shelf.byCgroup(ino, undefined)).toBeUndefined();
      mkdirSync(unit); // a restart: another cgroup, the same workload
      const again = (await stat(unit)).ino;
      expect(cgroups.looking(again)).toBe(true);
      clock.advance(WALK_GAP_MS);
      await expect.poll(() => host.shelf.byCgroup(again, undefined)?.workload).toBe(workload);
      expect(workload.goneSinceMs).toBeUndefined();
    } finally {
      await host.shutdown();
      await cgroups.stop();
      rmdirSync(unit);
    }
  });

  it('is what doctor tells about', async () => {
    const report = await describeHost();
    expect(report.text).toContain(mountPoint);
    expect(report.ok).toBe(true);
  });
});
