/** Connections made by the peer program of the kernel tests: both ends, as fast as they go. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { peerProgram } from '../../test/kernel/support/tool.ts';

export interface LoadOptions {
  readonly connections?: number;
  readonly seconds?: number;
  readonly workers?: number;
  readonly send?: number;
  readonly reply?: number;
}

export interface LoadResult {
  readonly connections: number;
  readonly failed: number;
  readonly perSecond: number;
}

/** Short connections on the loopback, 100 bytes there and 200 back unless told. */
export async function load({
  connections,
  seconds,
  workers = 2,
  send = 100,
  reply = 200,
}: LoadOptions): Promise<LoadResult> {
  const options = { connections, seconds, workers, send, reply };
  const words = Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, `${value}`],
  );
  const { stdout } = await promisify(execFile)(await peerProgram(), ['load', '--address', '127.0.0.1', ...words]);
  const result = JSON.parse(stdout.trim().split('\n').at(-1)!) as {
    connections: number;
    failed: number;
    nanoseconds: number;
  };
  return {
    connections: result.connections,
    failed: result.failed,
    perSecond: result.connections / (result.nanoseconds / 1e9),
  };
}
