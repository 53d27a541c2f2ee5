/** One socket of a peer, and what can be done to it. Each call is one command to test/kernel/tool. */
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Peer } from './peer.ts';
import { type EndReport, PeerError } from './reply.ts';

let mailboxes = 0;

type Option =
  | 'reuseaddr'
  | 'reuseport'
  | 'keepalive'
  | 'oobinline'
  | 'sndbuf'
  | 'rcvbuf'
  | 'noport'
  | 'v6only'
  | 'addrform'
  | 'nodelay'
  | 'cork'
  | 'keepidle'
  | 'keepintvl'
  | 'keepcnt'
  | 'syncnt'
  | 'linger2'
  | 'defer_accept'
  | 'user_timeout'
  | 'fastopen'
  | 'fastopen_connect'
  | 'repair'
  | 'repair_queue'
  | 'queue_seq';

/** Address families by the kernel's numbers, for the option addrform. */
export const AF_INET = 2;

/** TCP states by the kernel's numbers. */
export const STATE = { established: 1, finWait1: 4, finWait2: 5, close: 7, closeWait: 8, lastAck: 9 } as const;

export class Socket {
  readonly peer: Peer;
  readonly fd: number;

  constructor(peer: Peer, fd: number) {
    this.peer = peer;
    this.fd = fd;
  }

  async option(name: Option, value: number): Promise<void> {
    await this.peer.ask('option', this.fd, name, value);
  }

  async get(name: Option): Promise<number> {
    return Number((await this.peer.ask('get', this.fd, name)).value);
  }

  /** Seconds; 0: close sends a reset. */
  async linger(seconds: number): Promise<void> {
    await this.peer.ask('linger', this.fd, seconds);
  }

  async bind(host: string, port = 0): Promise<void> {
    await this.peer.ask('bind', this.fd, host, port);
  }

  /** The port. */
  async listen(backlog = 128): Promise<number> {
    return Number((await this.peer.ask('listen', this.fd, backlog)).port);
  }

  async accept(): Promise<Socket> {
    return new Socket(this.peer, Number((await this.peer.ask('accept', this.fd)).fd));
  }

  async connect(host: string, port: number): Promise<void> {
    await this.peer.ask('connect', this.fd, host, port);
  }

  /** Begins to connect without waiting. Rejects if it failed at once. */
  async start(host: string, port: number): Promise<void> {
    await this.peer.ask('start', this.fd, host, port).catch((error: unknown) => {
      if (!(error instanceof PeerError && error.errno === 'EINPROGRESS')) throw error;
    });
  }

  /** How the connect ended that was started. */
  async outcome(): Promise<void> {
    await this.peer.ask('outcome', this.fd);
  }

  /** Connects with data in the SYN, if there is a cookie. Resolves to the bytes taken. */
  async fastOpen(host: string, port: number, bytes: number): Promise<number> {
    return Number((await this.peer.ask('fastopen', this.fd, host, port, bytes)).sent);
  }

  /** connect to AF_UNSPEC: the socket is as it was before it was connected. */
  async disconnect(): Promise<void> {
    await this.peer.ask('unspec', this.fd);
  }

  async send(bytes: number, how: 'send' | 'oob' | 'sendfile' | 'splice' | 'zerocopy' = 'send'): Promise<void> {
    await this.peer.ask(how, this.fd, bytes);
  }

  /** As much as goes in without waiting, at most so many bytes; resolves when no more goes. */
  async stuff(bytes: number): Promise<void> {
    await this.peer.ask('stuff', this.fd, bytes).catch((error: unknown) => {
      if (!(error instanceof PeerError && error.errno === 'EAGAIN')) throw error;
    });
  }

  /** Reads exactly so many bytes. */
  async receive(bytes: number, how: 'recv' | 'discard' = 'recv'): Promise<void> {
    const { received } = await this.peer.ask(how, this.fd, bytes);
    if (received !== bytes) throw new Error(`${received} of ${bytes} bytes before the end of the connection`);
  }

  async peek(bytes: number): Promise<void> {
    await this.peer.ask('peek', this.fd, bytes);
  }

  async urgent(): Promise<void> {
    await this.peer.ask('urgent', this.fd);
  }

  /** Reads up to the peer's end and resolves to the number of bytes. */
  async receiveRest(): Promise<number> {
    return Number((await this.peer.ask('eof', this.fd)).received);
  }

  /** Both directions at once. */
  async exchange(send: number, receive: number): Promise<void> {
    await this.peer.ask('exchange', this.fd, send, receive);
  }

  /** Gives the socket and its side of the account to another process (SCM_RIGHTS). */
  async passTo(heir: Peer): Promise<Socket> {
    const path = join(tmpdir(), `tcpl-${heir.pid}-${mailboxes++}`);
    const { fd: mailbox } = await heir.ask('mailbox', path);
    await this.peer.ask('pass', this.fd, path);
    const { fd } = await heir.ask('take', Number(mailbox));
    rmSync(path);
    return new Socket(heir, Number(fd));
  }

  /** A forked child does this one command with the socket and then holds it until it is reaped. */
  async inChild(command: 'send' | 'recv', bytes: number): Promise<{ reap(): Promise<void> }> {
    const { pid } = await this.peer.ask('fork', command, this.fd, bytes);
    return {
      reap: async () => {
        await this.peer.ask('reap', Number(pid));
      },
    };
  }

  async shutdown(how: 'rd' | 'wr' | 'rdwr'): Promise<void> {
    await this.peer.ask('shutdown', this.fd, how);
  }

  /** Until all that was written is acknowledged. */
  async acknowledged(): Promise<void> {
    await this.peer.ask('acked', this.fd);
  }

  /** Until so many bytes lie unread. */
  async arrived(bytes: number): Promise<void> {
    await this.peer.ask('arrived', this.fd, bytes);
  }

  async state(state: keyof typeof STATE): Promise<void> {
    await this.peer.ask('state', this.fd, STATE[state]);
  }

  /** Of a listener: until so many connections wait to be accepted. */
  async backlog(connections: number): Promise<void> {
    await this.peer.ask('backlog', this.fd, connections);
  }

  /** Of a listener: connections that wait to be accepted. */
  async pending(): Promise<number> {
    return Number((await this.peer.ask('pending', this.fd)).count);
  }

  async info(): Promise<EndReport> {
    return (await this.peer.ask('info', this.fd)) as unknown as EndReport;
  }

  /** The report is from just before. */
  async close(): Promise<EndReport> {
    return (await this.peer.ask('close', this.fd)) as unknown as EndReport;
  }
}
