import { describe, expect, it } from 'vitest';
import { BatchJournal, type JournalEvents } from '../../../src/exporters/otlp/batch-journal.ts';
import { DeliveryReport } from '../../../src/exporters/otlp/delivery-report.ts';
import type { Sender, SendResult } from '../../../src/exporters/otlp/sender.ts';
import { SendingQueue, type SendingQueueOptions } from '../../../src/exporters/otlp/sending-queue.ts';
import { AGENT_METRICS } from '../../../src/semconv/registry.ts';
import { fakeAgent, noDeadline, until } from './support/agent.ts';
import { MemoryStorage } from './support/storage.ts';

const LABELS = { exporter: 'otlp_http', signal: 'logs' };
const OK: SendResult = { kind: 'delivered', response: Buffer.alloc(0) };
const RETRY = { enabled: true, initial_interval: 1, max_interval: 2, max_elapsed_time: 0 };

const IGNORED: JournalEvents = {
  unstored: () => {},
  unmarked: () => {},
  stored: () => {},
  uncompacted: () => {},
  compacted: () => {},
};

/** A peer under the test's hand: it answers as told, or when told. */
class FakeSender implements Sender {
  readonly target = 'http://peer';
  readonly attempts: string[] = [];
  readonly pending: ((result: SendResult) => void)[] = [];
  /** undefined: the test answers through `pending`. */
  answer: ((body: string, attempt: number) => SendResult | undefined) | undefined;

  send(body: Buffer, abort: AbortSignal): Promise<SendResult> {
    const text = body.toString();
    this.attempts.push(text);
    const result = this.answer?.(text, this.attempts.filter((attempt) => attempt === text).length);
    if (result !== undefined) return Promise.resolve(result);
    return new Promise((resolve) => {
      this.pending.push(resolve);
      abort.addEventListener('abort', () => resolve({ kind: 'retry', reason: 'aborted' }));
    });
  }

  close(): void {}
}

function setUp(options: Partial<SendingQueueOptions> = {}) {
  const { settings, telemetry, log } = fakeAgent('otlp_http');
  const sender = new FakeSender();
  const queue = new SendingQueue({
    pack: (request) => Buffer.from(request),
    sender,
    report: new DeliveryReport(settings, 'logs', sender.target),
    retry: RETRY,
    capacity: 3,
    concurrency: 1,
    partialSuccess: async () => ({ rejected: 0, reason: '' }),
    ...options,
  });
  const counts = () => ({
    sent: telemetry.count(AGENT_METRICS.exportSent, LABELS),
    failed: telemetry.count(AGENT_METRICS.exportFailed, LABELS),
    dropped: telemetry.count(AGENT_METRICS.exportDropped, LABELS),
  });
  const offer = (...texts: string[]) => {
    for (const text of texts) queue.offer({ body: Buffer.from(text), items: 10 });
  };
  return { queue, sender, log, counts, offer };
}

describe('SendingQueue', () => {
  it('delivers in order, one after the other', async () => {
    const { queue, sender, counts, offer } = setUp();
    sender.answer = () => OK;
    queue.start();
    offer('a', 'b', 'c');
    await queue.shutdown(noDeadline());
    expect(sender.attempts).toEqual(['a', 'b', 'c']);
    expect(counts()).toEqual({ sent: 30, failed: 0, dropped: 0 });
  });

  it('keeps as many in flight as it may', async () => {
    const { queue, sender, offer } = setUp({ concurrency: 2 });
    queue.start();
    offer('a', 'b', 'c');
    await until(() => sender.pending.length === 2);
    expect(queue.size).toBe(3);
    sender.pending[1]!(OK);
    await until(() => sender.attempts.length === 3);
    for (const resolve of sender.pending) resolve(OK);
    await queue.shutdown(noDeadline());
    expect(queue.size).toBe(0);
  });

  it('sends what was offered before the start', async () => {
    const { queue, sender, offer } = setUp();
    sender.answer = () => OK;
    offer('early');
    expect(sender.attempts).toEqual([]);
    queue.start();
    await queue.shutdown(noDeadline());
    expect(sender.attempts).toEqual(['early']);
  });

  it('drops the newest when full, counts them and says so once', async () => {
    const { queue, sender, counts, offer, log } = setUp();
    queue.start();
    offer('a', 'b', 'c', 'd', 'e', 'f');
    expect(counts().dropped).toBe(20);
    expect(log).toHaveLength(1);
    expect(log[0]).toMatch(/^warn sending logs to http:\/\/peer: the queue is full/);
    await until(() => sender.pending.length === 1);
    sender.answer = () => OK;
    sender.pending[0]!(OK);
    await queue.shutdown(noDeadline());
    expect(sender.attempts).toEqual(['a', 'b', 'c', 'd']);
    expect(counts()).toEqual({ sent: 40, failed: 0, dropped: 20 });
    expect(log[1]).toMatch(/has room again after 2 dropped batches/);
  });

  it('without a queue drops what comes while a batch is under way', async () => {
    const { queue, sender, counts, offer } = setUp({ capacity: 0 });
    queue.start();
    offer('a', 'b');
    expect(counts().dropped).toBe(10);
    await until(() => sender.pending.length === 1);
    sender.pending[0]!(OK);
    await queue.shutdown(noDeadline());
    expect(sender.attempts).toEqual(['a']);
  });

  it('is full by bytes, too', async () => {
    const { queue, sender, counts } = setUp({ capacity: 1000 });
    queue.start();
    const body = Buffer.alloc(50 * 1024 * 1024);
    for (let i = 0; i < 4; i++) queue.offer({ body, items: 1 });
    expect(counts().dropped).toBe(1);
    await until(() => sender.pending.length === 1);
    sender.answer = () => OK;
    sender.pending[0]!(OK);
    await queue.shutdown(noDeadline());
    expect(counts().sent).toBe(3);
  });

  it('tries again until it works, and tells beginning and end', async () => {
    const { queue, sender, counts, offer, log } = setUp();
    sender.answer = (_, attempt) => (attempt < 4 ? { kind: 'retry', reason: 'HTTP 503' } : OK);
    queue.start();
    offer('a');
    await until(() => counts().sent === 10);
    await queue.shutdown(noDeadline());
    expect(sender.attempts).toHaveLength(4);
    expect(log).toEqual([
      'warn sending logs to http://peer failed: HTTP 503; trying again until it works',
      'info sending logs to http://peer works again after 3 failed attempts',
    ]);
  });

  it('gives up what the peer refuses for good, and goes on', async () => {
    const { queue, sender, counts, offer, log } = setUp();
    sender.answer = (body) => (body === 'bad' ? { kind: 'rejected', reason: 'HTTP 400: no' } : OK);
    queue.start();
    offer('bad', 'good');
    await queue.shutdown(noDeadline());
    expect(counts()).toEqual({ sent: 10, failed: 10, dropped: 0 });
    expect(log[0]).toMatch(/failed for good: HTTP 400: no; 10 records lost/);
  });

  it('gives up when the time for retries is over', async () => {
    const { queue, sender, counts, offer, log } = setUp({ retry: { ...RETRY, max_elapsed_time: 5 } });
    sender.answer = () => ({ kind: 'retry', reason: 'refused' });
    queue.start();
    offer('a');
    await until(() => counts().failed === 10);
    expect(sender.attempts.length).toBeGreaterThan(1);
    expect(log.join('\n')).toMatch(/refused; no more retries by retry_on_failure/);
    await queue.shutdown(noDeadline());
  });

  it('waits as long as the peer asks', async () => {
    const { queue, sender, counts, offer } = setUp({ retry: { ...RETRY, max_elapsed_time: 1000 } });
    sender.answer = () => ({ kind: 'retry', reason: 'busy', afterMs: 2000 });
    queue.start();
    offer('a');
    await until(() => counts().failed === 10);
    expect(sender.attempts).toEqual(['a']);
    await queue.shutdown(noDeadline());
  });

  it('counts what the peer refused of a batch it took', async () => {
    const { queue, sender, counts, offer, log } = setUp({
      partialSuccess: async () => ({ rejected: 4, reason: 'too old' }),
    });
    sender.answer = () => OK;
    queue.start();
    offer('a', 'b');
    await queue.shutdown(noDeadline());
    expect(counts()).toEqual({ sent: 12, failed: 8, dropped: 0 });
    expect(log).toEqual(['warn sending logs to http://peer: the peer refused 4 records of a batch it took: too old']);
  });

  it('at shutdown tries each batch once more, without waiting, and counts the rest', async () => {
    const { queue, sender, counts, offer, log } = setUp({
      retry: { ...RETRY, initial_interval: 3_600_000, max_interval: 3_600_000 },
    });
    sender.answer = () => ({ kind: 'retry', reason: 'refused' });
    queue.start();
    offer('a', 'b', 'c');
    await until(() => sender.attempts.length === 1);
    await queue.shutdown(noDeadline());
    expect(sender.attempts).toEqual(['a', 'a', 'b', 'c']);
    expect(counts()).toEqual({ sent: 0, failed: 0, dropped: 30 });
    expect(log.at(-1)).toMatch(/30 records could not be delivered before the end and are dropped/);
  });

  it('at the deadline lets go of a peer that hangs', async () => {
    const { queue, sender, counts, offer } = setUp();
    queue.start();
    offer('a', 'b');
    await until(() => sender.pending.length === 1);
    const deadline = new AbortController();
    const stopped = queue.shutdown(deadline.signal);
    deadline.abort();
    await stopped;
    expect(sender.attempts).toEqual(['a']);
    expect(counts()).toEqual({ sent: 0, failed: 0, dropped: 20 });
    offer('late');
    expect(counts().dropped).toBe(30);
  });

  it('keeps what it could not deliver in storage, and sends it first after the restart', async () => {
    const storage = new MemoryStorage();
    const open = async () =>
      BatchJournal.open(await storage.journal('otlp_http', 'logs'), {
        ...IGNORED,
        unstored: (error) => expect.unreachable(error.message),
      });

    const dead = setUp();
    dead.sender.answer = () => ({ kind: 'retry', reason: 'refused' });
    const first = await open();
    dead.queue.start(first.store, first.batches);
    dead.offer('a', 'b');
    await until(() => dead.sender.attempts.length > 0);
    await dead.queue.shutdown(noDeadline());
    await first.store.close();
    expect(dead.counts()).toEqual({ sent: 0, failed: 0, dropped: 0 });
    expect(dead.log.at(-1)).toMatch(/2 batches stay in storage/);

    const alive = setUp();
    alive.sender.answer = () => OK;
    const second = await open();
    alive.offer('early');
    alive.queue.start(second.store, second.batches);
    alive.offer('c');
    await alive.queue.shutdown(noDeadline());
    await second.store.close();
    expect(alive.sender.attempts).toEqual(['a', 'b', 'early', 'c']);
    expect(alive.counts()).toEqual({ sent: 40, failed: 0, dropped: 0 });
    expect((await open()).batches).toEqual([]);
  });

  it('sends what storage refuses all the same, and does not call it kept', async () => {
    const storage = new MemoryStorage();
    const { queue, sender, counts, offer } = setUp();
    const { store } = await BatchJournal.open(await storage.journal('o', 'logs'), IGNORED);
    storage.failure = 'disk full';
    queue.start(store, []);
    sender.answer = (body) => (body === 'a' ? OK : { kind: 'retry', reason: 'refused' });
    offer('a', 'b');
    await until(() => counts().sent === 10 && sender.attempts.includes('b'));
    await queue.shutdown(noDeadline());
    expect(counts()).toEqual({ sent: 10, failed: 0, dropped: 10 });
  });
});
