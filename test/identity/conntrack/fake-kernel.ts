/** A kernel that tracks the connections it is given and is asked for by ctnetlink's messages. */
import { constants } from 'node:os';
import type { ConntrackKernel } from '../../../src/identity/conntrack/kernel.ts';
import { type Endpoint, type Flow, TCP_STATE } from '../../../src/identity/conntrack/messages.ts';
import type { NetlinkSocket } from '../../../src/identity/conntrack/socket.ts';
import { type Entry, entryMessage, errorMessage, readRequests } from './wire.ts';

const { EAGAIN, ENOENT } = constants.errno;

const keyOf = ({ localAddress, localPort, remoteAddress, remotePort }: Flow): string =>
  `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;

export class FakeConntrackKernel implements ConntrackKernel {
  isPresent = true;
  /** Of opening. */
  openError: NodeJS.ErrnoException | undefined;
  /** Errno of every send. */
  sendError = 0;
  /** Errno of every answer, by the first request of a send alone, as the kernel does it. */
  refusal = 0;
  /** Says nothing. */
  silent = false;
  /** What is in the socket's buffer before and behind the answers: messages, or an errno of receiving them. */
  before: (Buffer | number)[] = [];
  behind: (Buffer | number)[] = [];
  openSockets = 0;
  readonly asked: Flow[] = [];
  /** Requests in each send. */
  readonly sends: number[] = [];
  readonly #entries = new Map<string, Entry>();

  track(flow: Flow, server: Endpoint, state: number = TCP_STATE.timeWait): void {
    this.#entries.set(keyOf(flow), { server, state });
  }

  present(): boolean {
    return this.isPresent;
  }

  open(): NetlinkSocket {
    if (this.openError) throw this.openError;
    this.openSockets++;
    const queue: (Buffer | number)[] = [];
    return {
      send: (bytes, length) => {
        if (this.sendError !== 0) return -this.sendError;
        const requests = readRequests(bytes.subarray(0, length));
        this.sends.push(requests.length);
        queue.push(...this.before);
        for (const { sequence, flow } of requests) {
          this.asked.push(flow);
          if (this.silent) continue;
          if (this.refusal !== 0) {
            queue.push(errorMessage(sequence, this.refusal));
            break;
          }
          const entry = this.#entries.get(keyOf(flow));
          queue.push(entry ? entryMessage(sequence, flow, entry) : errorMessage(sequence, ENOENT));
        }
        queue.push(...this.behind);
        return length;
      },
      receive: (into) => {
        const next = queue.shift();
        if (next === undefined) return -EAGAIN;
        if (typeof next === 'number') return -next;
        into.set(next.subarray(0, into.length));
        return next.length;
      },
      close: () => {
        this.openSockets--;
      },
    };
  }
}
