import { describe, expect, it } from 'vitest';
import { BatchJournal } from '../../../src/exporters/otlp/batch-journal.ts';
import { until } from './support/agent.ts';
import { MemoryStorage } from './support/storage.ts';

async function open(storage: MemoryStorage) {
  const told: string[] = [];
  const { store, batches } = await BatchJournal.open(await storage.journal('otlp_http', 'logs'), {
    unstored: (error) => told.push(`unstored: ${error.message}`),
    unmarked: (count, error) => told.push(`${count} unmarked: ${error.message}`),
    stored: () => told.push('stored'),
    uncompacted: (error) => told.push(`uncompacted: ${error.message}`),
    compacted: () => told.push('compacted'),
  });
  return { store, batches, told };
}

/** The agent is gone without a word; its journal lies open on the disk. */
function kill(storage: MemoryStorage): void {
  storage.open.clear();
}

const batch = (text: string, items = 1) => ({ body: Buffer.from(text), items });
const texts = (batches: readonly { body: Buffer }[]) => batches.map(({ body }) => body.toString());

describe('BatchJournal', () => {
  it('has a batch on disk when append resolves, and gives it back after a crash', async () => {
    const storage = new MemoryStorage();
    const first = await open(storage);
    const stored = await first.store.append(batch('one', 7));
    expect(stored).toMatchObject({ items: 7, body: Buffer.from('one') });
    kill(storage);
    const { batches } = await open(storage);
    expect(batches).toMatchObject([{ items: 7, body: Buffer.from('one') }]);
  });

  it('gives back only what is not done with, oldest first', async () => {
    const storage = new MemoryStorage();
    const { store } = await open(storage);
    const [a] = await Promise.all(['a', 'b', 'c'].map((text) => store.append(batch(text))));
    store.done(a!.id!);
    await store.append(batch('d'));
    kill(storage);
    const second = await open(storage);
    expect(texts(second.batches)).toEqual(['b', 'c', 'd']);
    second.store.done(second.batches[1]!.id!);
    await second.store.append(batch('e'));
    kill(storage);
    expect(texts((await open(storage)).batches)).toEqual(['b', 'd', 'e']);
  });

  it('writes "done" without another batch, a little later', async () => {
    const storage = new MemoryStorage();
    const { store } = await open(storage);
    const stored = await store.append(batch('a'));
    store.done(stored.id!);
    await until(() => storage.disk.get('otlp_http/logs')!.length === 2);
    kill(storage);
    expect((await open(storage)).batches).toEqual([]);
  });

  it('goes on after a "done" that was written with a batch before its time had come', async () => {
    const storage = new MemoryStorage();
    const { store } = await open(storage);
    const stored = await store.append(batch('a'));
    const second = store.append(batch('b'));
    store.done(stored.id!);
    await second;
    await new Promise((resolve) => setTimeout(resolve, 1200));
    await store.append(batch('c'));
    kill(storage);
    expect(texts((await open(storage)).batches)).toEqual(['b', 'c']);
  });

  it('writes everything that waits in one go', async () => {
    const storage = new MemoryStorage();
    const { store } = await open(storage);
    await Promise.all(Array.from({ length: 100 }, (_, i) => store.append(batch(String(i)))));
    expect(storage.appends).toBe(2);
  });

  it('leaves only what is not done with when it is closed', async () => {
    const storage = new MemoryStorage();
    const { store } = await open(storage);
    const stored = await store.append(batch('a'));
    await store.append(batch('b'));
    store.done(stored.id!);
    await store.close();
    expect(storage.disk.get('otlp_http/logs')).toHaveLength(1);
    expect(texts((await open(storage)).batches)).toEqual(['b']);
  });

  it('rewrites itself when most of it is done with', async () => {
    const storage = new MemoryStorage();
    const { store } = await open(storage);
    const megabyte = 'x'.repeat(1024 * 1024);
    for (let i = 0; i < 10; i++) store.done((await store.append(batch(megabyte))).id!);
    await store.append(batch('last'));
    const bytes = storage.disk.get('otlp_http/logs')!.reduce((size, record) => size + record.length, 0);
    expect(bytes).toBeLessThan(5 * 1024 * 1024);
    kill(storage);
    expect(texts((await open(storage)).batches).at(-1)).toBe('last');
  });

  it('says what storage refused, and works again when storage does', async () => {
    const storage = new MemoryStorage();
    const { store, told } = await open(storage);
    storage.failure = 'disk full';
    expect(await store.append(batch('lost', 3))).toEqual({ id: undefined, items: 3, body: Buffer.from('lost') });
    expect(told).toEqual(['unstored: disk full']);
    storage.failure = undefined;
    await store.append(batch('kept'));
    expect(told).toEqual(['unstored: disk full', 'stored']);
    kill(storage);
    expect(texts((await open(storage)).batches)).toEqual(['kept']);
  });

  it('keeps "done" while storage refuses it, and writes it with the next batch that storage takes', async () => {
    const storage = new MemoryStorage();
    const { store, told } = await open(storage);
    const stored = await Promise.all(['a', 'b', 'c'].map((text) => store.append(batch(text))));
    storage.failure = 'disk full';
    store.done(stored[0]!.id!);
    store.done(stored[1]!.id!);
    await store.append(batch('memory only'));
    expect(told.slice(-2)).toEqual(['unstored: disk full', '2 unmarked: disk full']);
    expect(store.unmarked).toBe(2);
    storage.failure = undefined;
    await store.append(batch('d'));
    expect(store.unmarked).toBe(0);
    kill(storage);
    expect(texts((await open(storage)).batches)).toEqual(['c', 'd']);
  });

  it('writes "done" when storage works again, though no batch comes', async () => {
    const storage = new MemoryStorage();
    const { store, told } = await open(storage);
    const stored = await store.append(batch('a'));
    storage.failure = 'disk full';
    store.done(stored.id!);
    await until(() => told.at(-1) === '1 unmarked: disk full');
    storage.failure = undefined;
    await until(() => told.at(-1) === 'stored');
    kill(storage);
    expect((await open(storage)).batches).toEqual([]);
  });

  it('goes on with the old journal when it cannot be rewritten, and does not try again at every write', async () => {
    const storage = new MemoryStorage();
    const { store, told } = await open(storage);
    const megabyte = 'x'.repeat(1024 * 1024);
    const deliver = async (count: number) => {
      for (let i = 0; i < count; i++) store.done((await store.append(batch(megabyte))).id!);
    };
    storage.rewriteFailure = 'no room for a second file';
    await deliver(7);
    expect((await store.append(batch('kept'))).id).toBeDefined();
    expect(told.filter((event) => event !== 'stored')).toEqual(['uncompacted: no room for a second file']);
    expect(storage.rewrites).toBe(1);
    storage.rewriteFailure = undefined;
    await deliver(4);
    expect(told).toContain('compacted');
    kill(storage);
    expect(texts((await open(storage)).batches)).toContain('kept');
  });

  it('at the end marks what is done with where it cannot leave it out', async () => {
    const storage = new MemoryStorage();
    const { store, told } = await open(storage);
    const stored = await store.append(batch('a'));
    store.done(stored.id!);
    storage.rewriteFailure = 'no room for a second file';
    await store.close();
    expect(told).toEqual(['stored', 'uncompacted: no room for a second file', 'stored']);
    expect(store.unmarked).toBe(0);
    expect((await open(storage)).batches).toEqual([]);
  });

  it('knows at the end what it could not mark, and closes all the same', async () => {
    const storage = new MemoryStorage();
    const { store, told } = await open(storage);
    const stored = await store.append(batch('a'));
    store.done(stored.id!);
    storage.failure = 'disk gone';
    await store.close();
    expect(told).toEqual(['stored', 'uncompacted: disk gone', '1 unmarked: disk gone']);
    expect(store.unmarked).toBe(1);
    expect(storage.open.size).toBe(0);
  });
});
