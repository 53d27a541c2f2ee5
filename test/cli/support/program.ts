/** Runs the built program as a person does and keeps what it writes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { finished } from 'node:stream/promises';
import { undoLater } from '../../kernel/support/cleanup.ts';

const PROGRAM = resolve('dist/tcpledger.cjs');

/** Nobody: a user without capabilities. Only root can become it. */
export const AS_NOBODY = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];

export interface Running {
  readonly child: ChildProcess;
  stdout(): string;
  stderr(): string;
  /** Exit code; the signal's name if one ended it. */
  readonly ended: Promise<number | string>;
}

export interface ProgramOptions {
  /** A command before the program, as `ip netns exec NAME`. */
  readonly before?: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Starts it as `npm start` does, with a channel whose end tells that the starting process has gone. */
  readonly channel?: boolean;
}

export function start(args: readonly string[], options: ProgramOptions = {}): Running {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run "npm run build"`);
  const [command, ...rest] = [...(options.before ?? []), process.execPath, PROGRAM, ...args];
  const child = spawn(command!, rest, {
    stdio: ['ignore', 'pipe', 'pipe', ...(options.channel ? ['ipc' as const] : [])],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const kill = undoLater(() => child.kill('SIGKILL'));
  const written = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]!.on('data', (data: Buffer) => {
      written[stream] += data.toString();
    });
  }
  // Not the event `close`: it never comes once the channel was closed from this side.
  const exited = new Promise<number | string>((done, failed) => {
    child.once('error', failed);
    child.once('exit', (code, signal) => {
      kill();
      done(code ?? signal ?? 'unknown');
    });
  });
  const ended = Promise.all([exited, finished(child.stdout!), finished(child.stderr!)]).then(([code]) => code);
  return { child, stdout: () => written.stdout, stderr: () => written.stderr, ended };
}

/** Runs it to its end. */
export async function finish(
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<{ code: number | string; stdout: string; stderr: string }> {
  const running = start(args, options);
  return { code: await running.ended, stdout: running.stdout(), stderr: running.stderr() };
}
