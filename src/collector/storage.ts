/** What a storage extension (file_storage) offers, found through `host.extension(id)`. */
import type { Component } from './component.ts';

/** An append-only journal of records, whole or absent after a crash, in the order written. */
export interface Journal {
  /** Every record written and not yet dropped by `rewrite`, oldest first. A torn last record is left out and counted. */
  read(): Promise<Buffer[]>;
  /** Durable when it resolves (write and fdatasync). Rejects with TCPL_E_STORAGE (disk full, …); the journal stays as it was. */
  append(records: readonly Buffer[]): Promise<void>;
  /** Replaces the whole contents atomically (new file, fsync, rename). */
  rewrite(records: readonly Buffer[]): Promise<void>;
  close(): Promise<void>;
}

export interface StorageExtension extends Component {
  /** One journal per name and owner; opening it twice is an error. `name` is made safe for a file name. */
  journal(owner: string, name: string): Promise<Journal>;
}

export function isStorageExtension(component: Component | undefined): component is StorageExtension {
  return component !== undefined && 'journal' in component;
}
