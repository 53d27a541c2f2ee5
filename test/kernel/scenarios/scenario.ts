/**
 * A scenario is one thing that applications do with TCP, played by two processes that know what they exchanged, and
 * as data what the ledger has to say of each end.
 */
import type { CloseReason, Role } from '../../../src/receiver/types.ts';
import type { Link, Namespace } from '../support/namespace.ts';
import type { EndReport } from '../support/reply.ts';
import type { Place } from './places.ts';
import type { Stage } from './stage.ts';

/** What the ledger says of one socket. Bytes are the oracle's. */
export interface EndExpectation {
  readonly reporter: Role;
  readonly event: 'close' | 'fail';
  /** undefined: not compared. Only on close. */
  readonly reason?: CloseReason | undefined;
  /** The log's error.type. Only on fail. */
  readonly errorType?: string;
  /** The metric's error_type where it has fewer words than the log. */
  readonly errorFamily?: string;
}

/** `either`: more than one reason is true of it, or which one is up to the kernel: it is not compared. */
const reasonOf = (reason: CloseReason | 'either'): CloseReason | undefined =>
  reason === 'either' ? undefined : reason;

/** The end that opened the connection, after it was established. */
export const opener = (reason: CloseReason | 'either' = 'normal'): EndExpectation => ({
  reporter: 'source',
  event: 'close',
  reason: reasonOf(reason),
});

/** The end that was connected to. */
export const acceptor = (reason: CloseReason | 'either' = 'normal'): EndExpectation => ({
  reporter: 'destination',
  event: 'close',
  reason: reasonOf(reason),
});

/** A connection that never established. */
export const failure = (errorType: string, errorFamily = errorType): EndExpectation => ({
  reporter: 'source',
  event: 'fail',
  errorType,
  errorFamily,
});

export const BOTH_NORMAL = { client: opener(), server: acceptor() } as const;

/** What the oracle knows of the sockets of each kind, after they are closed. */
export type Reports<Kind extends string = string> = Readonly<Record<Kind, readonly EndReport[]>>;

export interface Scenario {
  readonly name: string;
  readonly places: readonly Place[];
  /** Expectation of each kind of socket that `play` reports; what is not named here must not be counted at all. */
  readonly ends: Readonly<Record<string, EndExpectation>>;
  /** Times it is played in each place; what waits for a timer of the kernel is played less often. */
  readonly repeat?: number;
  /** Needs namespaces of its own, which this function then sets up. */
  readonly isolated?: (namespaces: Pick<Link, 'client' | 'server'>) => Promise<void>;
  /** Why this machine can't play it; undefined if it can. */
  readonly missing?: (namespace: Namespace) => Promise<string | undefined>;
  play(stage: Stage): Promise<Reports>;
}

/** Keeps the names in `ends` and in the reports of `play` the same, at compile time. */
export function scenario<Kind extends string>(
  definition: Omit<Scenario, 'ends' | 'play'> & {
    readonly ends: Readonly<Record<Kind, EndExpectation>>;
    play(stage: Stage): Promise<Reports<Kind>>;
  },
): Scenario {
  return definition;
}

/** Bytes as the peer's kernel may have seen them: what never left is not sent; what nobody read was received. */
export const bytesOf = (report: EndReport): { sent: number; received: number } => ({
  sent: report.written,
  received: report.read + report.unread,
});

/** For an abort: what still waited to be sent is dropped with the socket. */
export const withoutUnsent = (report: EndReport): EndReport => ({ ...report, written: report.written - report.unsent });

/** What is known of a server's socket that no process ever held, from its client's report. */
export const mirrored = (client: EndReport): EndReport => ({
  local: client.remote,
  remote: client.local,
  written: 0,
  read: client.written,
  unread: 0,
  unacked: 0,
  unsent: 0,
});
