/**
 * The source `host`: who runs on a bare machine, without a cluster and without a network. A local end is the systemd
 * unit or the container of its cgroup, else its executable. Remote ends it knows only where they are on this node too:
 * the resolver joins the two views of such a connection.
 *
 * Names: a unit without `.service` or `.scope`; a container by the first 12 characters of its id. Both, and
 * executables, are their own canonical service. There is no namespace, revision, cluster or principal on a bare host.
 */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { findCgroup2Mount } from '../../collector/cgroup-mount.ts';
import type { Pair } from '../../receiver/types.ts';
import { systemClock } from '../clock.ts';
import type { Shelf } from '../directory.ts';
import type { WorkloadObject } from '../objects.ts';
import type { Source, SourceReport, SourceSettings } from '../source.ts';
import type { Workload } from '../types.ts';
import { UNNAMED_FIELDS, type WorkloadFields } from '../workload-pool.ts';
import { cgroupOwner } from './cgroup-path.ts';
import { type CgroupChange, createCgroupTree } from './cgroup-tree.ts';

/** As docker and crictl abbreviate a container's id. */
const SHORT_ID = 12;

export function createHostSource(settings: SourceSettings, node: string = hostname()): Source {
  return new HostSource(settings, node);
}

/** The naming of who runs in the cgroup of that path; undefined if the path says nothing (the root, a login session). */
export function hostWorkload(path: string, node: string): WorkloadFields | undefined {
  const { unit, unitInContainer, containerId, podUid } = cgroupOwner(path);
  const name = containerId === undefined || unitInContainer ? unit : containerId.slice(0, SHORT_ID);
  if (name === undefined) return undefined;
  return { ...UNNAMED_FIELDS, name, canonicalService: name, containerId, podUid, node };
}

/** What the source can do on this machine, for doctor. */
export async function describeHost(): Promise<SourceReport> {
  const mount = findCgroup2Mount(await readFile('/proc/self/mountinfo', 'utf8').catch(() => ''));
  if (mount === undefined) {
    return {
      ok: false,
      text: 'no cgroup2 file system is mounted: local ends are named by their executable only; mount one',
    };
  }
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const tree = createCgroupTree({ clock: systemClock, logger: quiet, mountPoint: mount });
  await tree.start();
  await tree.stop();
  if (tree.problem !== undefined)
    return { ok: false, text: `cgroups under ${mount} cannot be walked: ${tree.problem}` };
  const paths = [...tree.entries()].map(([, path]) => path);
  const named = paths.filter((path) => hostWorkload(path, '') !== undefined).length;
  return {
    ok: true,
    text: `${named} of ${paths.length} cgroups under ${mount} are a unit or a container; other ends are named by their executable`,
  };
}

class HostSource implements Source {
  readonly shelf: Shelf;
  readonly namesRemoteEnds = false;
  readonly usesCgroups = true;
  readonly #settings: SourceSettings;
  readonly #node: string;
  /** uid → its cgroups. A unit has one for itself and one for each below it. */
  readonly #cgroups = new Map<string, { readonly fields: WorkloadFields; readonly ids: Set<number> }>();
  #off: (() => void) | undefined;

  constructor(settings: SourceSettings, node: string) {
    this.#settings = settings;
    this.#node = node;
    this.shelf = settings.directory.addShelf('host', '');
  }

  async start(): Promise<void> {
    await this.#settings.cgroups.start();
    this.#off = this.#settings.cgroups.onChange((change) => this.#apply(change));
    this.#apply({ added: new Map(this.#settings.cgroups.entries()), removed: new Map(), absent: new Set() });
    this.shelf.markSynced();
  }

  missing(): string | undefined {
    return this.shelf.synced ? undefined : 'the cgroup tree has not been read';
  }

  byProcess(pair: Pair): Workload | undefined {
    if (pair.executable === '') return undefined;
    return this.#settings.directory.pool.intern({
      ...UNNAMED_FIELDS,
      name: pair.executable,
      canonicalService: pair.executable,
      node: this.#node,
    });
  }

  async shutdown(): Promise<void> {
    this.#off?.();
  }

  /** A restarted unit has a new cgroup and stays the same workload. */
  #apply({ added, removed }: CgroupChange): void {
    const changed = new Set<string>();
    for (const [id, path] of removed) {
      const uid = this.#uid(path);
      if (uid !== undefined && this.#cgroups.get(uid)?.ids.delete(id)) changed.add(uid);
    }
    for (const [id, path] of added) {
      const fields = hostWorkload(path, this.#node);
      const uid = this.#uid(path);
      if (fields === undefined || uid === undefined) continue;
      const owner = this.#cgroups.get(uid) ?? { fields, ids: new Set() };
      this.#cgroups.set(uid, owner);
      owner.ids.add(id);
      changed.add(uid);
    }
    for (const uid of changed) this.#push(uid);
  }

  #uid(path: string): string | undefined {
    const fields = hostWorkload(path, this.#node);
    return fields && JSON.stringify([fields.name, fields.containerId, fields.podUid]);
  }

  #push(uid: string): void {
    const { fields, ids } = this.#cgroups.get(uid)!;
    if (ids.size === 0) {
      this.#cgroups.delete(uid);
      this.shelf.removeWorkload(uid);
      return;
    }
    const object: WorkloadObject = {
      uid,
      fields,
      addresses: [],
      network: '',
      hostNetwork: false,
      pod: false,
      hbone: false,
      cgroups: [...ids],
      services: new Map(),
    };
    this.shelf.upsertWorkload(object);
  }
}
