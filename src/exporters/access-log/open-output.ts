/** From the configuration's `output` (stdout, stderr, a file or a device) to a sink. */
import * as fs from 'node:fs';
import { Socket } from 'node:net';
import { dirname, resolve } from 'node:path';
import { promisify } from 'node:util';
import { TcpledgerError } from '../../collector/errors.ts';
import { createFileSink, createInheritedFileSink } from './file-sink.ts';
import type { Sink } from './sink.ts';
import { createStreamSink } from './stream-sink.ts';

const access = promisify(fs.access);
const close = promisify(fs.close);
const fstat = promisify(fs.fstat);
const open = promisify(fs.open);
const stat = promisify(fs.stat);

const { O_APPEND, O_CREAT, O_NOCTTY, O_NONBLOCK, O_WRONLY, W_OK } = fs.constants;

/** Access logs name who talks to whom: not for everybody. */
const FILE_MODE = 0o640;

export interface Output {
  /** For messages: `stdout`, or the absolute path. */
  readonly name: string;
  /** Opens it, or opens it anew after a rotation. Rejects with TCPL_E_OUTPUT. */
  open(): Promise<Sink>;
}

/** `key` is where the configuration names it, for messages: `exporters.access_log.output`. */
export function createOutput(output: string, key: string): Output {
  if (output === 'stdout') return { name: output, open: () => openStandard(process.stdout) };
  if (output === 'stderr') return { name: output, open: () => openStandard(process.stderr) };
  const path = resolve(output);
  return { name: path, open: () => openPath(path, key) };
}

/** Whether the file or device could be opened, without making one. Rejects as `Output.open`. */
export async function checkOutput(output: string, key: string): Promise<void> {
  const path = resolve(output);
  try {
    await access((await isThere(path)) ? path : dirname(path), W_OK);
  } catch (error) {
    throw unusable(path, key, error as NodeJS.ErrnoException);
  }
}

/** Rejects for a directory, and for what cannot be looked at. */
async function isThere(path: string): Promise<boolean> {
  try {
    if (!(await stat(path)).isDirectory()) return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  throw Object.assign(new Error('EISDIR: illegal operation on a directory'), { code: 'EISDIR' });
}

async function openStandard(stream: NodeJS.WriteStream & { fd: 1 | 2 }): Promise<Sink> {
  const stats = await fstat(stream.fd);
  if (stats.isFIFO() || stats.isSocket()) return createStreamSink(stream, false);
  return stats.isCharacterDevice() ? openDevice(stream.fd) : createInheritedFileSink(stream.fd);
}

/**
 * A terminal may be stopped (Ctrl-S), and a write to it then blocks a thread for good and with it the exit of the
 * process. A description of our own can be non-blocking without the shell noticing.
 */
async function openDevice(fd: number): Promise<Sink> {
  const path = `/proc/self/fd/${fd}`;
  try {
    return await createFileSink(await open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY), path);
  } catch {
    // The terminal belongs to another user (after su): what was inherited still works.
    return createInheritedFileSink(fd);
  }
}

async function openPath(path: string, key: string): Promise<Sink> {
  let fd: number;
  try {
    fd = await open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY, FILE_MODE);
  } catch (error) {
    throw unusable(path, key, error as NodeJS.ErrnoException);
  }
  try {
    const stats = await fstat(fd);
    if (!stats.isFIFO()) return await createFileSink(fd, path);
    return createStreamSink(new Socket({ fd, readable: false, writable: true }), true);
  } catch (error) {
    await close(fd);
    throw unusable(path, key, error as NodeJS.ErrnoException);
  }
}

function unusable(path: string, key: string, error: NodeJS.ErrnoException): TcpledgerError {
  return new TcpledgerError(
    'TCPL_E_OUTPUT',
    `cannot open the access log ${path} for appending: ${error.message}; ${advice(path, key, error.code)}`,
    { cause: error },
  );
}

function advice(path: string, key: string, code: string | undefined): string {
  switch (code) {
    case 'ENOENT':
      return `create the directory ${dirname(path)}, or name a file in another one (${key})`;
    case 'ENOTDIR':
      return `${dirname(path)} is no directory: name a file in one (${key})`;
    case 'EISDIR':
      return `it is a directory: name a file in it (${key})`;
    case 'EACCES':
    case 'EPERM':
      return `let user ${process.geteuid?.()} write there, or name another file (${key})`;
    case 'EROFS':
      return `its file system is read-only: mount it writable, or name a file on another one (${key})`;
    case 'ENXIO':
      return 'it is a FIFO without a reader, or a device that is not there: start the reader first';
    default:
      return `name a file that can be written (${key})`;
  }
}
