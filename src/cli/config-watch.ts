/** Notices that the configuration file has other contents than before. */
import { createHash } from 'node:crypto';
import { readFileSync, unwatchFile, watchFile } from 'node:fs';

/** A stat of one file each second; it follows the symbolic links by which a Kubernetes volume swaps its files. */
const INTERVAL_MS = 1000;

/**
 * Calls `changed` after each change of the contents; a mere touch is none, and neither is a file that is away for a
 * moment (editors and volume mounts replace files). Returns the end of the watch.
 */
export function watchConfig(path: string, changed: () => void): () => void {
  let known = fingerprint(path);
  const listener = () => {
    const current = fingerprint(path);
    if (current === undefined || current === known) return;
    known = current;
    changed();
  };
  watchFile(path, { interval: INTERVAL_MS, persistent: false }, listener);
  return () => unwatchFile(path, listener);
}

/** Undefined while the file is not there or cannot be read. */
function fingerprint(path: string): string | undefined {
  try {
    return createHash('sha256').update(readFileSync(path)).digest('hex');
  } catch {
    return undefined;
  }
}
