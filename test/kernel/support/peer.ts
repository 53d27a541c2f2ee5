/** A process with one end of connections: test/kernel/tool, run inside a namespace. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { undoLater } from './cleanup.ts';
import type { Namespace } from './namespace.ts';
import { PeerError, type Reply } from './reply.ts';
import { Socket } from './socket.ts';
import { peerProgram } from './tool.ts';

export class Peer {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting: ((line: string | undefined) => void)[] = [];
  readonly #dead: Promise<void>;
  readonly #undo: () => void;
  #ended = false;

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#process = child;
    this.#undo = undoLater(() => child.kill('SIGKILL'));
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => this.#waiting.shift()?.(line));
    this.#dead = new Promise((resolve) => {
      child.once('exit', () => resolve());
    });
    lines.once('close', () => {
      this.#ended = true;
      for (const answer of this.#waiting.splice(0)) answer(undefined);
    });
    child.stdin.on('error', () => {
      // its death is told by the end of its output
    });
  }

  static async start(namespace?: Namespace): Promise<Peer> {
    const program = await peerProgram();
    return Peer.behind(namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace.name], [program, 'play']);
  }

  /** A peer that another program runs, as a container runtime does: its standard streams are the peer's. */
  static behind(runner: readonly string[], command: readonly string[]): Peer {
    const [program, ...args] = [...runner, ...command];
    return new Peer(spawn(program!, args, { stdio: ['pipe', 'pipe', 'inherit'] }));
  }

  get pid(): number {
    return this.#process.pid!;
  }

  /** One command, one reply. Commands queue; a reply with an errno rejects. */
  async ask(command: string, ...args: (string | number)[]): Promise<Reply> {
    const line = [command, ...args].join(' ');
    if (this.#ended) throw new Error(`the peer had ended before: ${line}`);
    const answer = new Promise<string | undefined>((resolve) => {
      this.#waiting.push(resolve);
    });
    this.#process.stdin.write(`${line}\n`);
    const text = await answer;
    if (text === undefined) throw new Error(`the peer ended at: ${line}`);
    const reply = JSON.parse(text) as Reply;
    if (reply.errno !== undefined) throw new PeerError(line, reply);
    return reply;
  }

  async socket(family: 4 | 6, kind: 'tcp' | 'mptcp' = 'tcp'): Promise<Socket> {
    return new Socket(this, Number((await this.ask('socket', family, kind)).fd));
  }

  /** Moves the process (behind a runner it has another pid); sockets made later belong to that cgroup. */
  joinCgroup(directory: string, pid = this.pid): void {
    // from outside: the mount namespace that `ip netns exec` makes has no cgroups
    writeFileSync(join(directory, 'cgroup.procs'), String(pid));
  }

  /** Moves the process; sockets made later belong to that namespace. */
  async joinNamespace(namespace: Namespace): Promise<void> {
    await this.ask('setns', `/run/netns/${namespace.name}`);
  }

  /** Ends as an application does that returns from main: the kernel closes what is open. */
  async end(): Promise<void> {
    this.#process.stdin.end();
    await this.gone();
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.gone();
  }

  /** When somebody else has ended it. */
  async gone(): Promise<void> {
    await this.#dead;
    this.#undo();
  }
}
