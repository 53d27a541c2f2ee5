import { describe, expect, it } from 'vitest';
import { createLogger, type Level } from '../../src/collector/logger.ts';

function logged(level: Level, tell: (logger: ReturnType<typeof createLogger>) => void): string[] {
  const written: string[] = [];
  tell(
    createLogger(
      'identity',
      () => level,
      (line) => written.push(line),
    ),
  );
  return written;
}

const LINE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t(debug|info|warn|error)\tidentity\t[^\n\r]+\n$/;

describe('a message', () => {
  it('is a line, if its level is wanted', () => {
    const written = logged('warn', (logger) => {
      logger.info('connected');
      logger.warn('cut off');
    });
    expect(written).toEqual([expect.stringMatching(/\twarn\tidentity\tcut off\n$/)]);
  });

  it.each([
    ['w.yaml has mistakes:\nw.yaml:3: a\nw.yaml:4: b', ['w.yaml has mistakes:', 'w.yaml:3: a', 'w.yaml:4: b']],
    ['a peer says: wrong version number:\n', ['a peer says: wrong version number:']],
    [
      'refused\r\n2026-01-01T00:00:00.000Z\tinfo\tidentity\tall is well',
      ['refused', '2026-01-01T00:00:00.000Z\tinfo\tidentity\tall is well'],
    ],
  ])('of several lines has its time and level in each: %j', (message, lines) => {
    const written = logged('info', (logger) => logger.error(message));
    for (const line of written) expect(line).toMatch(LINE);
    expect(written.map((line) => line.trimEnd().split('\terror\tidentity\t')[1])).toEqual(lines);
  });
});
