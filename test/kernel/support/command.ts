/** Programs of the system (ip, nft, bpftool): run to their end, output as text, a failure is an error that says what was run. */
import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Standard output. Rejects with the command line and what it wrote to standard error. */
export async function run(program: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await execute(program, [...args], { maxBuffer: 64 << 20 });
    return stdout;
  } catch (error) {
    throw described(program, args, error);
  }
}

/** As run, for places that cannot wait: clean-up when the process ends. */
export function runSync(program: string, args: readonly string[]): string {
  try {
    return execFileSync(program, [...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    throw described(program, args, error);
  }
}

function described(program: string, args: readonly string[], error: unknown): Error {
  const { stderr, message } = error as { stderr?: string; message: string };
  return new Error(`${program} ${args.join(' ')}: ${stderr?.trim() || message}`, { cause: error });
}
