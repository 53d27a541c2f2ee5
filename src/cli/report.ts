/** How an error is told to the person at the terminal: `tcpledger: TCPL_E_…: message` on stderr. */
import { TcpledgerError } from '../collector/errors.ts';

export function report(error: unknown): void {
  for (const line of describe(error)) process.stderr.write(`tcpledger: ${line}\n`);
}

/** Lines to print. Several mistakes of a configuration are a line each; whatever is no TcpledgerError is a fault of ours. */
function describe(error: unknown): string[] {
  const code = error instanceof TcpledgerError ? error.code : 'TCPL_E_INTERNAL';
  const message = error instanceof Error ? error.message : String(error);
  const messages = code === 'TCPL_E_CONFIG' ? message.split('\n') : [message];
  return messages.map((each) => `${code}: ${each}`);
}
