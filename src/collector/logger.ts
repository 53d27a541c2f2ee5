/** The agent's own log, on stderr: `<RFC 3339 UTC>\t<level>\t<component>\t<message>`; stdout belongs to the access log. */
export type Level = 'debug' | 'info' | 'warn' | 'error';

export interface Logger {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

const LEVELS: readonly Level[] = ['debug', 'info', 'warn', 'error'];

/** `write` gets whole lines. `level()` is asked each time, so that a reload can change it. */
export function createLogger(component: string, level: () => Level, write: (line: string) => void): Logger {
  const at = (severity: Level) => (message: string) => {
    if (LEVELS.indexOf(severity) < LEVELS.indexOf(level())) return;
    write(`${new Date().toISOString()}\t${severity}\t${component}\t${message}\n`);
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
