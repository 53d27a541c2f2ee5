/** A storage extension whose disk is this process's memory: what is durable outlives the exporter. */
import { TcpledgerError } from '../../../../src/collector/errors.ts';
import type { Journal, StorageExtension } from '../../../../src/collector/storage.ts';

export class MemoryStorage implements StorageExtension {
  /** `owner/name` → records on the disk. */
  readonly disk = new Map<string, Buffer[]>();
  readonly open = new Set<string>();
  /** Set: every write fails with it. */
  failure: string | undefined;
  /** Set: every rewriting fails with it. */
  rewriteFailure: string | undefined;
  appends = 0;
  rewrites = 0;

  async start(): Promise<void> {}
  async shutdown(): Promise<void> {}

  async journal(owner: string, name: string): Promise<Journal> {
    const key = `${owner}/${name}`;
    if (this.open.has(key)) throw new TcpledgerError('TCPL_E_STORAGE', `the journal ${key} is open already`);
    this.open.add(key);
    const copies = (records: readonly Buffer[]) => records.map((bytes) => Buffer.from(bytes));
    const write = async (records: Buffer[], failure = this.failure) => {
      await new Promise((resolve) => setImmediate(resolve));
      if (failure !== undefined) throw new TcpledgerError('TCPL_E_STORAGE', failure);
      this.disk.set(key, records);
    };
    return {
      read: async () => copies(this.disk.get(key) ?? []),
      append: async (records) => {
        this.appends++;
        await write([...(this.disk.get(key) ?? []), ...copies(records)]);
      },
      rewrite: (records) => {
        this.rewrites++;
        return write(copies(records), this.rewriteFailure ?? this.failure);
      },
      close: async () => {
        this.open.delete(key);
      },
    };
  }
}
