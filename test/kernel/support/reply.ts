/** What a peer answers. */

/** What the application's side knows of a connection; addresses as access logs write them, bytes of payload. */
export interface EndReport {
  readonly local: string;
  readonly remote: string;
  /** Taken from the application by the kernel, and handed to it. */
  readonly written: number;
  readonly read: number;
  /** Received and not yet read; written and not yet acknowledged; written and not yet sent. */
  readonly unread: number;
  readonly unacked: number;
  readonly unsent: number;
  /** TCP_INFO; absent for MPTCP. */
  readonly state?: string;
  readonly kernelSent?: number;
  readonly kernelReceived?: number;
  readonly retransmitted?: number;
  readonly fastOpen?: boolean;
  /** Of an MPTCP socket: the peer speaks it, too. */
  readonly multipath?: boolean;
}

/** One line of the tool's output. */
export type Reply = Readonly<Record<string, string | number | boolean>>;

/** What a system call said. */
export class PeerError extends Error {
  readonly errno: string;

  constructor(command: string, reply: Reply) {
    super(`${command}: ${reply.call} failed with ${reply.errno}`);
    this.errno = String(reply.errno);
  }
}
