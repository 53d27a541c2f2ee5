import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DropReason, LineWriter } from '../../../src/exporters/access-log/line-writer.ts';
import { type Sink, SinkClosed } from '../../../src/exporters/access-log/sink.ts';
import { recordingLogger } from './recording-logger.ts';

const never = (): AbortSignal => new AbortController().signal;

/** What a sink does with one write: takes so many bytes (0: busy), or refuses. */
type Answer = number | Error;

/** A file in memory. Answers in the order given, takes everything afterwards. */
class MemorySink implements Sink {
  text = '';
  closed = false;
  readonly #answers: Answer[];
  readonly #retracts: boolean;

  constructor(answers: readonly Answer[] = [], { retracts = true } = {}) {
    this.#answers = [...answers];
    this.#retracts = retracts;
  }

  async write(lines: Buffer): Promise<number> {
    expect(this.closed).toBe(false);
    const answer = this.#answers.shift() ?? lines.length;
    if (answer instanceof Error) throw answer;
    this.text += lines.subarray(0, answer).toString();
    return Math.min(answer, lines.length);
  }

  async retract(count: number): Promise<boolean> {
    if (this.#retracts) this.text = this.text.slice(0, -count);
    return this.#retracts;
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

/** Takes nothing until it is told to. */
class StuckSink extends MemorySink {
  #release: () => void = () => undefined;
  readonly released = new Promise<void>((resolve) => {
    this.#release = resolve;
  });

  release(): void {
    this.#release();
  }

  override async write(lines: Buffer): Promise<number> {
    await this.released;
    return super.write(lines);
  }
}

/** Takes its time to close, as a file does in the thread pool. */
class SlowlyClosing extends MemorySink {
  #begun: () => void = () => undefined;
  readonly closing = new Promise<void>((resolve) => {
    this.#begun = resolve;
  });
  release: () => void = () => undefined;

  override async close(): Promise<void> {
    this.#begun();
    await new Promise<void>((resolve) => {
      this.release = resolve;
    });
    await super.close();
  }
}

function diskFull(): Error {
  return Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
}

async function createWriter(sinks: readonly (Sink | Error)[], limitBytes?: number) {
  const created = createUnopened(sinks, limitBytes);
  await created.writer.open();
  return created;
}

function createUnopened(sinks: readonly (Sink | Error)[], limitBytes = 1 << 20) {
  const logger = recordingLogger();
  const dropped: Partial<Record<DropReason, number>> = {};
  const waiting = [...sinks];
  const writer = new LineWriter({
    output: {
      name: '/var/log/access.log',
      async open() {
        const next = waiting.shift();
        if (next instanceof Error || next === undefined) throw next;
        return next;
      },
    },
    limitBytes,
    logger,
    onDropped: (reason, lines) => {
      dropped[reason] = (dropped[reason] ?? 0) + lines;
    },
    retryMs: { first: 0, longest: 0 },
  });
  const write = (text: string) => {
    if (writer.admits(text.split('\n').length - 1)) writer.write(Buffer.from(text));
  };
  return { writer, write, logger, dropped };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

const answers = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 12 }) },
    { weight: 2, arbitrary: fc.constant(diskFull()) },
  ),
  { maxLength: 30 },
);
const batches = fc.array(
  fc
    .array(fc.string({ unit: fc.constantFrom('a', 'b', '"', ' '), maxLength: 9 }), { minLength: 1, maxLength: 4 })
    .map((lines) => lines.map((line) => `${line}\n`).join('')),
  { minLength: 1, maxLength: 10 },
);

describe('a line writer', () => {
  it('writes every byte once and in order, however little is taken and however often it is refused', async () => {
    await fc.assert(
      fc.asyncProperty(answers, batches, fc.boolean(), async (given, texts, retracts) => {
        const sink = new MemorySink(given, { retracts });
        const { writer, write, dropped } = await createWriter([sink]);
        for (const text of texts) {
          write(text);
          await turn();
        }
        await until(() => sink.text === texts.join(''));
        await writer.close(never());
        expect(dropped).toEqual({});
        expect(sink.closed).toBe(true);
      }),
    );
  });

  it('splits no line between the old file and the new one', async () => {
    await fc.assert(
      fc.asyncProperty(answers, answers, batches, batches, async (old, young, before, after) => {
        const first = new MemorySink(old);
        const second = new MemorySink(young);
        const { writer, write } = await createWriter([first, second]);
        for (const text of before) write(text);
        await writer.reopen();
        for (const text of after) write(text);
        await until(() => first.text + second.text === [...before, ...after].join(''));
        await until(() => first.closed);
        expect(first.text === '' || first.text.endsWith('\n')).toBe(true);
        await writer.close(never());
      }),
    );
  });

  it('begins a torn line again in the new file when the old one neither takes its end nor gives it back', async () => {
    const old = new MemorySink([5, ...new Array<Answer>(50).fill(diskFull())], { retracts: false });
    const young = new MemorySink();
    const { writer, write } = await createWriter([old, young]);
    write('one\ntwo\n');
    await until(() => old.text === 'one\nt');
    await writer.reopen();
    await until(() => young.text === 'two\n');
    await writer.close(never());
  });

  it('writes what came before it was open as soon as it is', async () => {
    const sink = new MemorySink();
    const { writer, write } = createUnopened([sink]);
    write('one\n');
    await writer.open();
    await until(() => sink.text === 'one\n');
    await writer.close(never());
  });

  it('counts what came when it is closed without having been opened', async () => {
    const { writer, write, dropped } = createUnopened([]);
    write('one\ntwo\n');
    await writer.close(never());
    expect(dropped).toEqual({ shutdown: 2 });
  });

  it('waits while the sink is busy, without calling that a failure', async () => {
    const sink = new MemorySink([0, 0, 2, 0]);
    const { writer, write, logger } = await createWriter([sink]);
    write('one\n');
    await writer.close(never());
    expect(sink.text).toBe('one\n');
    expect(logger.lines).toEqual([]);
  });

  it('drops the newest lines when the output is too slow, counts them, and says so once and at the end', async () => {
    const sink = new StuckSink();
    const { writer, write, logger, dropped } = await createWriter([sink], 20);
    for (let i = 0; i < 10; i++) write(`line ${i}\n`);
    expect(dropped).toEqual({ output_full: 7 });
    sink.release();
    await until(() => sink.text === 'line 0\nline 1\nline 2\n');
    write('again\n');
    await writer.close(never());
    expect(sink.text).toBe('line 0\nline 1\nline 2\nagain\n');
    expect(logger.lines).toEqual([
      expect.stringMatching(/^warn access log \/var\/log\/access\.log is too slow and 1 KiB wait/),
      'warn access log /var/log/access.log takes lines again; 7 were dropped',
    ]);
  });

  it('drops by another reason while the output refuses', async () => {
    const sink = new MemorySink(new Array<Answer>(1000).fill(diskFull()));
    const { writer, write, logger, dropped } = await createWriter([sink], 10);
    write('one\ntwo\nthree\n');
    await until(() => logger.lines.length > 0);
    write('four\nfive\n');
    expect(dropped).toEqual({ output_error: 2 });
    expect(logger.lines[0]).toContain('error cannot write the access log /var/log/access.log: ENOSPC');
    await writer.close(never());
    expect(dropped).toEqual({ output_error: 2, shutdown: 3 });
  });

  it('goes on without the log when nobody reads it any more: counted, and said once', async () => {
    const sink = new MemorySink([4, new SinkClosed(new Error('write EPIPE'))]);
    const { writer, write, logger, dropped } = await createWriter([sink]);
    write('one\ntwo\nthree\n');
    await until(() => dropped.output_closed === 2);
    for (let i = 0; i < 5; i++) write('more\n');
    expect(dropped).toEqual({ output_closed: 7 });
    await writer.close(never());
    expect(logger.lines).toEqual([expect.stringMatching(/^error access log .* closed \(write EPIPE\)/)]);
  });

  it('takes lines again when it is opened anew after that', async () => {
    const young = new MemorySink();
    const { writer, write, dropped } = await createWriter([
      new MemorySink([new SinkClosed(new Error('EPIPE'))]),
      young,
    ]);
    write('one\n');
    await until(() => dropped.output_closed === 1);
    await writer.reopen();
    await until(() => writer.admits(0));
    write('two\n');
    await writer.close(never());
    expect(young.text).toBe('two\n');
  });

  it('never writes into a file that a second opening has superseded', async () => {
    const old = new StuckSink();
    const superseded = new SlowlyClosing();
    const young = new MemorySink();
    const { writer, write, logger } = await createWriter([old, superseded, young]);
    write('one\n');
    await writer.reopen();
    const again = writer.reopen();
    await superseded.closing;
    // The write that was under way ends while the superseded file is being closed.
    old.release();
    write('two\n');
    await until(() => young.text === 'two\n');
    superseded.release();
    await again;
    await writer.close(never());
    expect([old.text, superseded.text]).toEqual(['one\n', '']);
    expect(logger.lines).toEqual(['info access log /var/log/access.log opened anew']);
  });

  it('keeps the old file when the new one cannot be opened', async () => {
    const sink = new MemorySink();
    const { writer, write, logger } = await createWriter([sink, new Error('cannot open the access log')]);
    write('one\n');
    await writer.reopen();
    write('two\n');
    await writer.close(never());
    expect(sink.text).toBe('one\ntwo\n');
    expect(logger.lines).toEqual(['error cannot open the access log. Going on with the file opened before']);
  });

  it('gives up at the deadline of the shutdown and counts what waits, the line under way included', async () => {
    const sink = new StuckSink();
    const { writer, write, logger, dropped } = await createWriter([sink]);
    write('one\ntwo\n');
    write('three\n');
    const deadline = new AbortController();
    const closed = writer.close(deadline.signal);
    await turn();
    expect(dropped).toEqual({});
    deadline.abort();
    await closed;
    expect(dropped).toEqual({ shutdown: 3 });
    expect(logger.lines).toEqual([expect.stringMatching(/^error 3 access-log lines could not be written/)]);
  });

  it('does not wait for the deadline when the output refuses', async () => {
    const { writer, write, dropped } = await createWriter([new MemorySink(new Array<Answer>(1000).fill(diskFull()))]);
    write('one\n');
    await writer.close(never());
    expect(dropped).toEqual({ shutdown: 1 });
  });

  it('writes lines that come in the turn in which it has just finished', async () => {
    const sink = new MemorySink();
    const { writer, write } = await createWriter([sink]);
    for (let i = 0; i < 100; i++) {
      write(`${i}\n`);
      for (let k = 0; k < i % 7; k++) await Promise.resolve();
    }
    await until(() => sink.text.split('\n').length === 101);
    await writer.close(never());
  });
});
