import { EventEmitter } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { listenForStop } from '../../src/cli/stop-request.ts';

function setUp() {
  const source = new EventEmitter();
  const insisted = vi.fn();
  let now = 1000;
  const stop = listenForStop(source, insisted, () => now);
  const pass = (ms: number) => {
    now += ms;
  };
  return { source, insisted, stop, pass };
}

describe('a request to stop', () => {
  it.each([
    ['SIGINT', 'SIGINT'],
    ['SIGTERM', 'SIGTERM'],
    ['disconnect', 'the process that started it has ended'],
  ])('%s is one', async (event, reason) => {
    const { source, stop } = setUp();
    source.emit(event);
    await expect(stop.requested).resolves.toBe(reason);
  });

  it('that arrives by several ways at once is one, and only a later one insists', () => {
    const { source, insisted, pass } = setUp();
    source.emit('SIGINT');
    source.emit('SIGINT');
    pass(499);
    source.emit('SIGTERM');
    expect(insisted).not.toHaveBeenCalled();
    pass(1);
    source.emit('SIGINT');
    expect(insisted).toHaveBeenCalledExactlyOnceWith('SIGINT');
  });

  it('is not listened for any more after close', () => {
    const { source, stop } = setUp();
    stop.close();
    for (const event of ['SIGINT', 'SIGTERM', 'disconnect']) expect(source.listenerCount(event)).toBe(0);
  });
});
