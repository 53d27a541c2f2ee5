/**
 * The agent's own log, on stderr: `<RFC 3339 UTC>\t<level>\t<component>\t<message>`; stdout belongs to the access log.
 * Messages quote what peers say, so each line of one is told as a line of its own: none is without its time and level.
 */
export type Level = 'debug' | 'info' | 'warn' | 'error';

export interface Logger {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

const LEVELS: readonly Level[] = ['debug', 'info', 'warn', 'error'];

const LINE_END = /[\r\n]+/;

/** `write` gets whole lines. `level()` is asked each time, so that a reload can change it. */
export function createLogger(component: string, level: () => Level, write: (line: string) => void): Logger {
  const at = (severity: Level) => (message: string) => {
    if (LEVELS.indexOf(severity) < LEVELS.indexOf(level())) return;
    const head = `${new Date().toISOString()}\t${severity}\t${component}\t`;
    for (const line of message.split(LINE_END)) if (line !== '') write(`${head}${line}\n`);
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
