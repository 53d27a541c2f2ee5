/** Compiles test/kernel/tool once per state of its sources. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './command.ts';

/** Benchmarks are bundled into another place and say where the project is. */
const PROJECT = process.env.TCPLEDGER_PROJECT ?? join(import.meta.dirname, '..', '..', '..');
const SOURCES = join(PROJECT, 'test', 'kernel', 'tool');
const CACHE = join(PROJECT, 'node_modules', '.cache', 'tcpledger-test');
const FLAGS = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-D_GNU_SOURCE'];

let program: Promise<string> | undefined;

/** Path of the peer program. */
export function peerProgram(): Promise<string> {
  program ??= compiled();
  return program;
}

async function compiled(): Promise<string> {
  const files = readdirSync(SOURCES).sort();
  const hash = createHash('sha256').update(FLAGS.join(' '));
  for (const file of files) hash.update(file).update(readFileSync(join(SOURCES, file)));
  const path = join(CACHE, `peer-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(path)) return path;
  mkdirSync(CACHE, { recursive: true });
  // several processes may compile at once: each for itself, the last one's rename wins
  const own = `${path}.${process.pid}`;
  const units = files.filter((file) => file.endsWith('.c')).map((file) => join(SOURCES, file));
  await run('clang', [...FLAGS, ...units, '-o', own]);
  renameSync(own, path);
  return path;
}
