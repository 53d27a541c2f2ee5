/**
 * Asks the kernel's connection tracking for single connections: where address translation (kube-proxy's rules, by
 * iptables, nftables or IPVS, or a published container port) has led them. It knows those of the agent's own network
 * namespace, which on a node is the host's, where the traffic of pods is translated. An entry outlives its connection by
 * some seconds, after an orderly close by two minutes (nf_conntrack_tcp_timeout_*), and goes when its ports are used again.
 */
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import type { Clock } from '../clock.ts';
import type { ConntrackKernel } from './kernel.ts';
import { type Answer, type Endpoint, type Flow, LONGEST_REQUEST, readAnswers, writeRequest } from './messages.ts';
import type { NetlinkSocket } from './socket.ts';

/**
 * Requests in one send. Each answer takes up to 1.5 KiB of the socket's buffer (its bookkeeping included), which by the
 * kernel's default (net.core.rmem_default) holds 208 KiB.
 */
const BATCH = 64;

/** Longer than any answer about one connection, about 400 bytes. */
const ANSWER_BYTES = 8_192;

/** How long it is not asked after it could not be. */
export const RETRY_MS = 60_000;

const { ENOENT, EPERM, EINVAL, EAGAIN, ENOBUFS, EOPNOTSUPP, EPROTONOSUPPORT } = constants.errno;

/** What the kernel says to every request of one that it does not serve. */
const REFUSALS: ReadonlySet<number> = new Set([EPERM, EINVAL, EOPNOTSUPP, EPROTONOSUPPORT]);

export interface Tracked {
  /** Who answers: the backend, or where the client's socket shows if nothing is translated. */
  readonly server: Endpoint;
  /** One of TCP_STATE. */
  readonly state: number;
}

/** `none`: no such connection. `failed`: this question has no answer. `unavailable`: no question has. */
export type Lookup = Tracked | 'none' | 'failed' | 'unavailable';

export interface ConntrackParts {
  readonly kernel: ConntrackKernel;
  readonly clock: Clock;
  /**
   * Called each time that it is found that nothing can be asked, with an errno's name, `ABSENT` or `SILENT`. It is tried
   * again a minute later.
   */
  readonly onUnavailable: (reason: string) => void;
}

export class Conntrack {
  readonly #parts: ConntrackParts;
  readonly #request = Buffer.alloc(BATCH * LONGEST_REQUEST);
  readonly #answer = Buffer.alloc(ANSWER_BYTES);
  #socket: NetlinkSocket | undefined;
  #retryMs = Number.NEGATIVE_INFINITY;
  /** Of the first request of the next batch. */
  #sequence = 1;

  constructor(parts: ConntrackParts) {
    this.#parts = parts;
  }

  /** The answer at i is that to flow i. Takes about 6 µs a flow, and never waits. */
  ask(flows: readonly Flow[]): Lookup[] {
    const lookups = new Array<Lookup>(flows.length).fill('unavailable');
    for (let from = 0; from < flows.length; from += BATCH) {
      const socket = this.#open();
      if (!socket) break;
      this.#askBatch(socket, flows.slice(from, from + BATCH), from, lookups);
    }
    return lookups;
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  #open(): NetlinkSocket | undefined {
    if (this.#socket) return this.#socket;
    const { kernel, clock } = this.#parts;
    if (clock.now() < this.#retryMs) return undefined;
    if (!kernel.present()) {
      this.#giveUp('ABSENT');
      return undefined;
    }
    try {
      this.#socket = kernel.open();
    } catch (error) {
      this.#giveUp((error as NodeJS.ErrnoException).code ?? (error as Error).message);
    }
    return this.#socket;
  }

  #askBatch(socket: NetlinkSocket, flows: readonly Flow[], from: number, lookups: Lookup[]): void {
    const first = this.#sequence;
    this.#sequence = (first + BATCH) % 2 ** 31;
    let length = 0;
    flows.forEach((flow, at) => {
      length = writeRequest(this.#request, length, first + at, flow);
    });
    const sent = socket.send(this.#request, length);
    if (sent < 0) {
      this.#giveUp(getSystemErrorName(sent));
      return;
    }
    lookups.fill('failed', from, from + flows.length);
    let answered = false;
    for (;;) {
      const got = socket.receive(this.#answer);
      if (got === -EAGAIN) break;
      // Some answers did not fit: those that did are behind this.
      if (got === -ENOBUFS) continue;
      if (got <= 0) {
        this.#giveUp(got < 0 ? getSystemErrorName(got) : 'SILENT');
        return;
      }
      for (const answer of readAnswers(this.#answer, Math.min(got, ANSWER_BYTES))) {
        const at = answer.sequence - first;
        // One that comes late is nobody's any more.
        if (at < 0 || at >= flows.length) continue;
        answered = true;
        if (answer.kind === 'error' && REFUSALS.has(answer.errno)) {
          lookups.fill('unavailable', from, from + flows.length);
          this.#giveUp(getSystemErrorName(-answer.errno));
          return;
        }
        lookups[from + at] = lookupOf(answer);
      }
    }
    if (!answered) this.#giveUp('SILENT');
  }

  #giveUp(reason: string): void {
    this.close();
    this.#retryMs = this.#parts.clock.now() + RETRY_MS;
    this.#parts.onUnavailable(reason);
  }
}

function lookupOf(answer: Answer): Lookup {
  if (answer.kind === 'entry') return answer;
  return answer.kind === 'error' && answer.errno === ENOENT ? 'none' : 'failed';
}
