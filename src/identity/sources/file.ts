/**
 * The source `file`: workloads and services from a YAML or JSON file in ztunnel's local-XDS layout, watched and read
 * again when it changes. A version that cannot be read changes nothing: the one before stays.
 */
import type { TcpledgerError } from '../../collector/errors.ts';
import type { Shelf } from '../directory.ts';
import { meshWorkload } from '../mesh-workload.ts';
import { breathe } from '../slices.ts';
import type { Source, SourceReport, SourceSettings } from '../source.ts';
import type { FileWorkload } from './file-layout.ts';
import { readWorkloadFile, type WorkloadFile } from './workload-file.ts';

export interface FileConfig {
  readonly path: string;
  readonly network: string;
}

/** Calls `onChange` when the file has another content: `watchFile`, or a fake. */
export type Watch = (path: string, onChange: () => void) => { close(): void };

export function createFileSource(settings: SourceSettings, config: FileConfig, watch: Watch): Source {
  return new FileSource(settings, config, watch);
}

export async function describeFile(config: FileConfig): Promise<SourceReport> {
  try {
    const { workloads, services } = await readWorkloadFile(config.path);
    return { ok: true, text: `${config.path}: ${workloads.length} workloads, ${services.length} services` };
  } catch (error) {
    return { ok: false, fatal: true, text: (error as Error).message };
  }
}

class FileSource implements Source {
  readonly shelf: Shelf;
  readonly namesRemoteEnds = true;
  readonly #settings: SourceSettings;
  readonly #config: FileConfig;
  readonly #watch: Watch;
  #uids = new Set<string>();
  /** Those that name cgroups, for when the tree changes. */
  #byCgroup: readonly FileWorkload[] = [];
  #hasPods = false;
  #services = new Set<string>();
  #undo: (() => void)[] = [];
  /** Loads follow each other: a change seen during one begins another. */
  #loading: Promise<void> = Promise.resolve();
  #queued = false;
  #lastFailure: string | undefined;
  #stopped = false;

  constructor(settings: SourceSettings, config: FileConfig, watch: Watch) {
    this.#settings = settings;
    this.#config = config;
    this.#watch = watch;
    this.shelf = settings.directory.addShelf('file', config.network);
  }

  get usesCgroups(): boolean {
    return this.#byCgroup.length > 0 || this.#hasPods;
  }

  async start(): Promise<void> {
    // Watched before it is read: a change in between is seen.
    const watch = this.#watch(this.#config.path, () => this.#reload());
    this.#undo.push(() => watch.close());
    const first = readWorkloadFile(this.#config.path).then((file) => this.#apply(file));
    this.#loading = first.catch(() => {});
    await first;
    this.#undo.push(this.#settings.cgroups.onChange(() => this.#assignCgroups()));
    this.shelf.markSynced();
  }

  missing(): string | undefined {
    return this.shelf.synced ? undefined : `${this.#config.path} has not been read`;
  }

  async shutdown(): Promise<void> {
    this.#stopped = true;
    for (const undo of this.#undo.splice(0)) undo();
    await this.#loading;
  }

  #reload(): void {
    if (this.#queued || this.#stopped) return;
    this.#queued = true;
    this.#loading = this.#loading.then(async () => {
      this.#queued = false;
      if (this.#stopped) return;
      try {
        const file = await readWorkloadFile(this.#config.path);
        await this.#apply(file);
        this.#lastFailure = undefined;
        const counts = `${file.workloads.length} workloads, ${file.services.length} services`;
        this.#settings.logger.info(`${this.#config.path} read again: ${counts}`);
      } catch (error) {
        this.#sayFailure(error as TcpledgerError);
      }
    });
  }

  /** Once for each failure, however often the file is touched. */
  #sayFailure({ message }: TcpledgerError): void {
    if (message === this.#lastFailure) return;
    this.#lastFailure = message;
    this.#settings.logger.error(`the workload file cannot be used, its last good version stays:\n${message}`);
  }

  /** Services first, so that a workload's services are there when it comes. */
  async #apply({ workloads, services }: WorkloadFile): Promise<void> {
    this.#byCgroup = workloads.filter(({ cgroupPaths }) => cgroupPaths.length > 0);
    this.#hasPods = workloads.some(({ podUids }) => podUids.length > 0);
    if (this.usesCgroups) await this.#settings.cgroups.start();
    const serviceKeys = new Set(services.map(({ key }) => key));
    for (const key of this.#services) {
      if (!serviceKeys.has(key)) this.shelf.removeService(key);
      await breathe();
    }
    for (const service of services) {
      this.shelf.upsertService(service);
      await breathe();
    }
    this.#services = serviceKeys;
    const uids = new Set(workloads.map(({ uid }) => uid));
    for (const uid of this.#uids) {
      if (!uids.has(uid)) this.shelf.removeWorkload(uid);
      await breathe();
    }
    this.#uids = uids;
    const cgroups = this.#cgroupsByUid();
    for (const workload of workloads) {
      this.shelf.upsertWorkload(meshWorkload(workload, cgroups.get(workload.uid) ?? []));
      await breathe();
    }
  }

  #assignCgroups(): void {
    if (this.#byCgroup.length === 0) return;
    const cgroups = this.#cgroupsByUid();
    for (const workload of this.#byCgroup) {
      this.shelf.upsertWorkload(meshWorkload(workload, cgroups.get(workload.uid) ?? []));
    }
  }

  /** Each cgroup belongs to the workload that names it, or else the nearest one above it. */
  #cgroupsByUid(): Map<string, number[]> {
    const owners = new Map<string, string>();
    const mountPoint = this.#settings.cgroups.mountPoint ?? '';
    for (const { uid, cgroupPaths } of this.#byCgroup) {
      for (const path of cgroupPaths) owners.set(withinMount(path, mountPoint), uid);
    }
    const result = new Map<string, number[]>();
    if (owners.size === 0) return result;
    for (const [id, path] of this.#settings.cgroups.entries()) {
      const uid = nearestOwner(path, owners);
      if (uid !== undefined) result.set(uid, [...(result.get(uid) ?? []), id]);
    }
    return result;
  }
}

/** A path is one of the hierarchy, or of the file system where the hierarchy is mounted. */
function withinMount(path: string, mountPoint: string): string {
  const inside = mountPoint !== '' && (path === mountPoint || path.startsWith(`${mountPoint}/`));
  return (inside ? path.slice(mountPoint.length) : path).replace(/\/+$/, '') || '/';
}

function nearestOwner(path: string, owners: ReadonlyMap<string, string>): string | undefined {
  for (let at = path; ; at = at.slice(0, at.lastIndexOf('/')) || '/') {
    const owner = owners.get(at);
    if (owner !== undefined || at === '/') return owner;
  }
}
