/**
 * When the agent is asked to stop: SIGINT, SIGTERM, or the end of the process that started it (`npm start` holds a
 * channel open, which closes however that process ends).
 */
import type { EventEmitter } from 'node:events';

/** One Ctrl-C reaches the agent up to three times: from the terminal, from npm, from `npm start`. They are one request. */
const SAME_REQUEST_MS = 500;

/** The part of `process` that is listened to. */
export type SignalSource = Pick<EventEmitter, 'on' | 'off'>;

export interface StopRequest {
  /** Resolves with the reason, for the log. */
  readonly requested: Promise<string>;
  /** Stops listening. */
  close(): void;
}

/**
 * @param insisted called when a second request shows that somebody does not want to wait
 * @param now monotonic milliseconds
 */
export function listenForStop(
  source: SignalSource,
  insisted: (reason: string) => void,
  now: () => number = () => performance.now(),
): StopRequest {
  let first: number | undefined;
  let resolve: (reason: string) => void;
  const requested = new Promise<string>((done) => {
    resolve = done;
  });
  const stop = (reason: string) => {
    if (first === undefined) {
      first = now();
      resolve(reason);
    } else if (now() - first >= SAME_REQUEST_MS) {
      insisted(reason);
    }
  };
  const listeners = {
    SIGINT: () => stop('SIGINT'),
    SIGTERM: () => stop('SIGTERM'),
    disconnect: () => stop('the process that started it has ended'),
  };
  for (const [event, listener] of Object.entries(listeners)) source.on(event, listener);
  return {
    requested,
    close: () => {
      for (const [event, listener] of Object.entries(listeners)) source.off(event, listener);
    },
  };
}
