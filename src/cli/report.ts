/** How an error is told to the person at the terminal: `tcpledger: TCPL_E_…: message` on stderr. */
import { TcpledgerError } from '../collector/errors.ts';

/** `withStack` for an error that is nobody's mistake but ours: where it happened helps whoever must mend it. */
export function report(error: unknown, withStack = false): void {
  process.stderr.write(`tcpledger: ${describe(error, withStack)}\n`);
}

/** `TCPL_E_…: message`; whatever is no TcpledgerError is one of ours, TCPL_E_INTERNAL. */
export function describe(error: unknown, withStack: boolean): string {
  const code = error instanceof TcpledgerError ? error.code : 'TCPL_E_INTERNAL';
  const message = error instanceof Error ? error.message : String(error);
  const stack = withStack && error instanceof Error && error.stack ? `\n${error.stack}` : '';
  return `${code}: ${message}${stack}`;
}
