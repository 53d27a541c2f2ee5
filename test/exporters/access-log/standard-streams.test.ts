import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseJson } from './parse-line.ts';

let directory: string;
let program: string;

beforeAll(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'access-log-stdout-'));
  program = join(directory, 'child.cjs');
  buildSync({
    entryPoints: [join(import.meta.dirname, 'standard-streams-child.ts')],
    outfile: program,
    bundle: true,
    platform: 'node',
  });
});

afterAll(() => {
  fs.rmSync(directory, { recursive: true });
});

interface Report {
  readonly dropped: Readonly<Record<string, number>>;
  readonly log: readonly string[];
}

const run = (count: number, deadlineMs: number, stdout: 'pipe' | number): ChildProcess =>
  spawn(process.execPath, [program, String(count), String(deadlineMs)], { stdio: ['ignore', stdout, 'pipe'] });

async function report(child: ChildProcess): Promise<Report> {
  const [said] = await Promise.all([text(child.stderr!), once(child, 'exit')]);
  expect(child.exitCode).toBe(0);
  return JSON.parse(said) as Report;
}

const ids = (lines: string): number[] =>
  lines
    .split(/(?<=\n)/)
    .filter((line) => line !== '')
    .map((line) => Number(String(parseJson(line).fields.at(-1)![1]).split('-')[1]));

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe('stdout', () => {
  it('as a pipe that is read slowly gets every line', async () => {
    const child = run(20_000, 60_000, 'pipe');
    const said = report(child);
    // 20,000 lines are some 5 MB, a pipe holds 64 KiB: nothing is read before all of them were given to the exporter.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const lines = await text(child.stdout!);
    expect(ids(lines)).toEqual(upTo(20_000));
    expect((await said).dropped).toEqual({});
  });

  it('as a pipe that is never read stops the exit no longer than the deadline, and is counted', async () => {
    const path = join(directory, 'fifo');
    execFileSync('mkfifo', [path]);
    const reader = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    const writer = fs.openSync(path, fs.constants.O_WRONLY);
    const child = run(5000, 200, writer);
    fs.closeSync(writer);
    const { dropped, log } = await report(child);
    const pipe = fs.readFileSync(reader, 'utf8');
    fs.closeSync(reader);
    const written = ids(pipe);
    expect(written).toEqual(upTo(written.length));
    expect(dropped).toEqual({ 'tcpledger_access_log_dropped{shutdown}': 5000 - written.length });
    expect(log).toHaveLength(1);
  });

  it('as a closed pipe costs the lines, not the process', async () => {
    const child = run(5000, 60_000, 'pipe');
    child.stdout!.destroy();
    const { dropped, log } = await report(child);
    const counted = dropped['tcpledger_access_log_dropped{output_closed}'] ?? 0;
    expect(Object.keys(dropped)).toEqual(['tcpledger_access_log_dropped{output_closed}']);
    expect(counted).toBeGreaterThan(4000);
    expect(log).toEqual([expect.stringMatching(/^error access log stdout: the reading end is closed .*EPIPE/)]);
  });

  it('as a file gets every line', async () => {
    const path = join(directory, 'redirected.log');
    const file = fs.openSync(path, 'w');
    const { dropped } = await report(run(5000, 60_000, file));
    fs.closeSync(file);
    expect(ids(fs.readFileSync(path, 'utf8'))).toEqual(upTo(5000));
    expect(dropped).toEqual({});
  });
});
