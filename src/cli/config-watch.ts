/** Notices that the configuration file has other contents than before. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

/**
 * A small file read once a second. Notifications (inotify) and times of change miss what this sees: the links by which
 * a Kubernetes volume swaps its files, network file systems, a change right at the start.
 */
const INTERVAL_MS = 1000;

/**
 * Calls `changed` after each change of the contents; a mere touch is none, and neither is a file that is away for a
 * moment (editors and volume mounts replace files). Returns the end of the watch. Start it before the file is loaded:
 * what changes in between is then told.
 */
export function watchConfig(path: string, changed: () => void): () => void {
  let known = readNow(path);
  let reading = false;
  const timer = setInterval(async () => {
    if (reading) return;
    reading = true;
    const current = await readFile(path).catch(() => undefined);
    reading = false;
    if (current === undefined || (known !== undefined && current.equals(known))) return;
    known = current;
    changed();
  }, INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}

function readNow(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined; // the loading of the configuration tells why; the watch goes on from nothing
  }
}
