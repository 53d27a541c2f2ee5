/** Runs the program that embeds the package. */
import { fork } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { undoLater } from '../../kernel/support/cleanup.ts';
import { Page } from '../../kernel/support/prometheus-text.ts';

const PROGRAM = join(import.meta.dirname, 'embedding-program.mjs');

export interface EmittedRecord {
  readonly eventName: string;
  readonly severityNumber: number;
  readonly body: string;
  readonly attributes: Readonly<Record<string, string | number>>;
}

export interface Embedder {
  page(): Promise<Page>;
  /** All that its logger provider was given so far. */
  records(): EmittedRecord[];
  /** Resolves to the exit code. */
  stop(): Promise<number | null>;
  kill(): Promise<void>;
}

/** `options`: those of createLedger, but for the providers. Resolves when the ledger has started. */
export async function startEmbedder(options: Readonly<Record<string, unknown>>): Promise<Embedder> {
  const directory = mkdtempSync(join(tmpdir(), 'tcpledger-embedder-'));
  const removeDirectory = undoLater(() => rmSync(directory, { recursive: true }));
  const recordsFile = join(directory, 'records');
  const child = fork(PROGRAM, [JSON.stringify(options), recordsFile], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const kill = undoLater(() => child.kill('SIGKILL'));
  let said = '';
  child.stderr!.on('data', (text: Buffer) => {
    said += text.toString();
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const answer = (): Promise<unknown> =>
    Promise.race([
      new Promise((resolve) => child.once('message', resolve)),
      exited.then((code) => {
        throw new Error(`the embedding program ended with ${code}: ${said}`);
      }),
    ]);
  const ended = async (): Promise<number | null> => {
    const code = await exited;
    kill();
    removeDirectory();
    return code;
  };
  await answer();
  return {
    async page() {
      const answered = answer();
      child.send('page');
      return new Page(((await answered) as { page: string }).page);
    },
    records: () =>
      !existsSync(recordsFile)
        ? []
        : readFileSync(recordsFile, 'utf8')
            .split('\n')
            .slice(0, -1)
            .map((line) => JSON.parse(line) as EmittedRecord),
    async stop() {
      child.send('stop');
      return ended();
    },
    async kill() {
      child.kill('SIGKILL');
      await ended();
    },
  };
}
