/** What a build step was made from: a step runs again only when a hash over its inputs has changed. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { inRoot } from './root.mjs';

const STAMPS = 'dist/.stamps.json';

/** Hash over the names and contents of files and folders (recursively), and over further strings that matter. */
export function hashInputs(paths, ...strings) {
  const hash = createHash('sha256');
  for (const text of strings) hash.update(`${text}\0`);
  for (const file of paths.flatMap(filesUnder))
    hash
      .update(`${file}\0`)
      .update(readFileSync(inRoot(file)))
      .update('\0');
  return hash.digest('hex');
}

function filesUnder(path) {
  const entries = readdirSync(inRoot(path, '..'), { withFileTypes: true });
  const self = entries.find((entry) => entry.name === path.split('/').at(-1));
  if (self === undefined) return [];
  if (!self.isDirectory()) return [path];
  return readdirSync(inRoot(path))
    .sort()
    .flatMap((name) => filesUnder(`${path}/${name}`));
}

/** True if all outputs are there and were made from inputs of this hash. */
export function isUpToDate(step, hash, outputs) {
  return outputs.every((output) => existsSync(inRoot(output))) && readStamps()[step] === hash;
}

export function stamp(step, hash) {
  writeAtomically(STAMPS, JSON.stringify({ ...readStamps(), [step]: hash }, undefined, 2));
}

function readStamps() {
  try {
    return JSON.parse(readFileSync(inRoot(STAMPS), 'utf8'));
  } catch {
    return {}; // no build yet, or one that was cut off: everything is built anew
  }
}

/** Readers (a running agent that restarts, a parallel test) see the old file or the new one, never half of it. */
export function writeAtomically(path, contents, mode = 0o644) {
  const temporary = `${path}.${process.pid}.tmp`;
  mkdirSync(dirname(inRoot(path)), { recursive: true });
  writeFileSync(inRoot(temporary), contents, { mode });
  renameSync(inRoot(temporary), inRoot(path));
}
