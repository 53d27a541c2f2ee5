/** The `file_storage` extension: journals in a directory, for what must survive the agent. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExtensionFactory, Settings } from './component.ts';
import { described, type Infer, object, string, withDefault } from './schema.ts';
import { safeFileName } from './storage/file-name.ts';
import { JournalFile, storageError } from './storage/journal.ts';
import type { Journal, StorageExtension } from './storage.ts';
import type { CounterHandle, MetricDefinition } from './telemetry.ts';

const SCHEMA = object({
  directory: described(
    'Where the journals are; made with mode 0700 if it is missing. One agent has it for itself.',
    withDefault(string(), '/var/lib/tcpledger'),
  ),
});

export type FileStorageConfig = Infer<typeof SCHEMA>;

/** Longer than a disk takes to write what is left; then whoever has the journal is no predecessor on its way out. */
const PREDECESSOR_MS = 2_000;

/** `failures` is the registry's row of the counter of failed writes and lost records. */
export function fileStorageFactory(failures: MetricDefinition): ExtensionFactory<FileStorageConfig> {
  return {
    kind: 'extension',
    type: 'file_storage',
    description: 'Keeps queues and labels in files, so that they survive a restart',
    schema: SCHEMA,
    create: (settings, config) => new FileStorage(settings, config, settings.telemetry.counter(failures)),
  };
}

class FileStorage implements StorageExtension {
  readonly #settings: Settings;
  readonly #directory: string;
  readonly #failures: CounterHandle;
  /** By path, those that are closed, too. */
  readonly #journals = new Map<string, JournalFile>();

  constructor(settings: Settings, { directory }: FileStorageConfig, failures: CounterHandle) {
    this.#settings = settings;
    this.#directory = directory;
    this.#failures = failures;
  }

  async start(): Promise<void> {
    const probe = join(this.#directory, `.probe-${process.pid}`);
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      // Permission bits do not tell (root, read-only file systems): write, and see.
      await writeFile(probe, 'x', { mode: 0o600 });
      await rm(probe);
    } catch (error) {
      await rm(probe, { force: true }).catch(() => this.#failures.add(1));
      throw storageError(`Preparing the directory ${this.#directory} of extensions.${this.#settings.id}`, error);
    }
  }

  async journal(owner: string, name: string): Promise<Journal> {
    const path = join(this.#directory, `${safeFileName(owner)}.${safeFileName(name)}.journal`);
    // A component that was out of time at a reload writes its journal to the end while its successor starts.
    const closed = this.#journals.get(path)?.closed;
    if (closed !== undefined) await Promise.race([closed, sleep(PREDECESSOR_MS, undefined, { ref: false })]);
    const journal = await JournalFile.open(path, {
      failed: () => this.#failures.add(1),
      damaged: (file, records) => {
        this.#failures.add(records);
        this.#settings.logger.warn(
          `${file}: ${records} records were damaged (a crash in the midst of a write) and left out`,
        );
      },
    });
    this.#journals.set(path, journal);
    return journal;
  }

  async shutdown(): Promise<void> {
    await Promise.all([...this.#journals.values()].map((journal) => journal.close()));
    this.#journals.clear();
  }
}
