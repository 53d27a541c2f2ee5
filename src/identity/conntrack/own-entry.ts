/**
 * Whether a tracked connection is the one that a record tells of. Its ports may have been used again by the time that it
 * is asked about: then the entry is another connection's, which may have met another backend.
 */
import type { ConnectionRecord } from '../../receiver/types.ts';
import { TCP_STATE } from './messages.ts';

const { synSent, synReceived, established, finWait, closeWait, lastAck, timeWait, close, synSentTwice } = TCP_STATE;

const BEGUN: ReadonlySet<number> = new Set([synSent, synReceived, synSentTwice]);
const ENDED: ReadonlySet<number> = new Set([finWait, closeWait, lastAck, timeWait, close]);

/** Conntrack has seen every packet before the client's socket, or from it: its state is not behind the record's. */
export function isOwnEntry({ event, closeReason }: Pick<ConnectionRecord, 'event' | 'closeReason'>, state: number) {
  if (event === 'fail') return BEGUN.has(state) || state === close;
  if (event === 'open') return state === established || state === synReceived || ENDED.has(state);
  // No packet tells of the end of a connection whose peer has fallen silent.
  return ENDED.has(state) || (closeReason === 'timeout' && state === established);
}
