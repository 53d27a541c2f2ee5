import { describe, expect, it } from 'vitest';
import { Alarm } from '../../../src/exporters/otlp/alarm.ts';
import { fakeAgent } from './support/agent.ts';

function setUp() {
  const { settings, log } = fakeAgent('otlp_http');
  let nowMs = 0;
  const alarm = new Alarm(settings.logger, () => nowMs);
  return {
    log,
    raise: (reason = 'down') => alarm.raise(() => reason),
    clear: () => alarm.clear((times) => `up after ${times}`),
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

describe('Alarm', () => {
  it('tells the beginning and the end, with the number in between', () => {
    const { log, raise, clear } = setUp();
    raise();
    raise('still down');
    raise('still down');
    clear();
    clear();
    expect(log).toEqual(['warn down', 'info up after 3']);
  });

  it('tells what comes and goes once a minute at most, and then counts all of it', () => {
    const { log, raise, clear, pass } = setUp();
    for (let i = 0; i < 100; i++) {
      raise();
      clear();
      pass(100);
    }
    expect(log).toEqual(['warn down', 'info up after 1']);
    pass(60_000);
    raise();
    clear();
    expect(log.slice(2)).toEqual(['warn down', 'info up after 100']);
  });

  it('tells what came back within the minute and stays, so that the last word is not that all is well', () => {
    const { log, raise, clear, pass } = setUp();
    raise();
    clear();
    pass(10_000);
    raise();
    pass(49_999);
    raise();
    expect(log).toEqual(['warn down', 'info up after 1']);
    pass(1);
    raise('still down');
    raise('still down');
    clear();
    expect(log.slice(2)).toEqual(['warn still down', 'info up after 4']);
  });

  it('says nothing of an end without a beginning', () => {
    const { log, clear } = setUp();
    clear();
    expect(log).toEqual([]);
  });
});
