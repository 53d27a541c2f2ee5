/** Many short connections at once: `peer load`. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Namespace } from './namespace.ts';
import { peerProgram } from './tool.ts';

export interface LoadOptions {
  readonly address: string;
  readonly port?: number;
  readonly connections?: number;
  readonly seconds?: number;
  readonly workers?: number;
  /** Bytes from client to server, and back. */
  readonly send?: number;
  readonly reply?: number;
  /** Connection i comes from source + i modulo sources. */
  readonly source?: string;
  readonly sources?: number;
  /** Clients are no sockets of this kernel, but strangers behind this TUN device. */
  readonly tun?: string;
}

/** What both sides counted themselves. */
export interface LoadResult {
  readonly connections: number;
  readonly failed: number;
  readonly sent: number;
  readonly received: number;
  readonly serverSent: number;
  readonly serverReceived: number;
  readonly nanoseconds: number;
}

/** Resolves when all connections are closed at both ends. */
export async function load(namespace: Namespace, options: LoadOptions): Promise<LoadResult> {
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const program = await peerProgram();
  const { stdout } = await promisify(execFile)('ip', ['netns', 'exec', namespace.name, program, 'load', ...args]);
  const result = JSON.parse(stdout.trim().split('\n').at(-1)!) as LoadResult;
  if (result.failed > 0) throw new Error(`${result.failed} connections of the load failed: ${stdout}`);
  if (result.sent !== result.serverReceived || result.received !== result.serverSent) {
    throw new Error(`the two sides of the load disagree: ${stdout}`);
  }
  return result;
}
