/** A journal in memory that can refuse to write. */
import { TcpledgerError } from '../../src/collector/errors.ts';
import type { Journal } from '../../src/collector/storage.ts';

export class FakeJournal implements Journal {
  records: Buffer[] = [];
  refuses = false;
  closed = false;
  rewrites = 0;
  /** Runs while an append is under way. */
  onAppend: () => void = () => {};

  async read(): Promise<Buffer[]> {
    return this.records.map((record) => Buffer.from(record));
  }

  async append(records: readonly Buffer[]): Promise<void> {
    this.#check();
    this.onAppend();
    this.records.push(...records.map((record) => Buffer.from(record)));
  }

  async rewrite(records: readonly Buffer[]): Promise<void> {
    this.#check();
    this.rewrites++;
    this.records = records.map((record) => Buffer.from(record));
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  #check(): void {
    if (this.refuses) throw new TcpledgerError('TCPL_E_STORAGE', 'the journal is full.');
  }
}
