/** `tcpledger`: reads the command line, runs the command, turns what it threw into a message and an exit code. */

import { VERSION } from '../build-info.ts';
import { ERROR_CODES, TcpledgerError } from '../collector/errors.ts';
import { parseArguments } from './arguments.ts';
import { help } from './help.ts';
import { report } from './report.ts';

async function main(args: readonly string[]): Promise<number> {
  const invocation = parseArguments(args);
  switch (invocation.kind) {
    case 'help':
      process.stdout.write(help());
      return 0;
    case 'version':
      process.stdout.write(`tcpledger ${VERSION}\n`);
      return 0;
    case 'command': {
      const run = await invocation.command.load().catch(rethrowLoadFailure);
      return run(invocation.options);
    }
  }
}

/** The code of most commands brings koffi, whose native part an installation may have left out. */
function rethrowLoadFailure(error: Error): never {
  if (!/koffi/i.test(error.message)) throw error;
  throw new TcpledgerError(
    'TCPL_E_LIBBPF',
    `cannot load koffi, through which libbpf is called: ${error.message.split('\n')[0]} Install the packages again without --omit=optional (npm ci): the native part for ${process.platform}-${process.arch} is an optional dependency.`,
    { cause: error },
  );
}

// A terminal or a pipe that has gone: nobody is left to be told, and the agent goes on.
process.stderr.on('error', () => {});

main(process.argv.slice(2)).then(
  // Exits by itself: a handle that some library left open must not keep a stopped agent alive.
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    report(error);
    process.exit(error instanceof TcpledgerError ? error.exitCode : ERROR_CODES.TCPL_E_INTERNAL);
  },
);
