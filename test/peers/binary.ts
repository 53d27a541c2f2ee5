/** Where a real peer's binary is, and how it is had: `build` names it by the sources it is made of. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const HERE = import.meta.dirname;

/** `sources`: the files that `build` hashes, in its order, below this folder. */
export function peerPath(name: string, sources: readonly string[]): string {
  const hash = createHash('sha256');
  for (const source of sources) hash.update(readFileSync(join(HERE, source)));
  const id = hash.digest('hex').slice(0, 12);
  return join(process.env.PEERS ?? join(homedir(), '.cache/tcpledger-peers'), `${name}-${id}`);
}

/** Why the peer called `what` is not on this machine; undefined when it is, or can be built. */
export function peerMissing(what: string, path: string): string | undefined {
  if (existsSync(path)) return undefined;
  try {
    execFileSync('go', ['version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return `no ${what} at ${path} and no Go to build it (test/peers/build needs Go 1.26)`;
  }
}

/** The path, once it is built: minutes the first time on a machine. `target`: an argument of `build`. */
export function findOrBuild(path: string, target: 'collector' | 'istiod'): string {
  if (!existsSync(path)) execFileSync(join(HERE, 'build'), [target], { stdio: ['ignore', 'inherit', 'inherit'] });
  accessSync(path, constants.X_OK);
  return path;
}
