/** Which process listens on a TCP port, as far as /proc tells: in the own network namespace, and of processes one may look into. */
import { readdir, readFile, readlink } from 'node:fs/promises';

const LISTEN = '0A';

/** As `nginx (pid 123)`; undefined when it can't be told. */
export async function portHolder(port: number): Promise<string | undefined> {
  const inodes = new Set((await Promise.all(['tcp', 'tcp6'].map((table) => listeners(table, port)))).flat());
  if (inodes.size === 0) return undefined;
  for (const pid of await entries('/proc')) {
    if (/^\d+$/.test(pid) && (await holdsAny(pid, inodes))) return `${await nameOf(pid)} (pid ${pid})`;
  }
  return undefined;
}

/** Inodes of the sockets that listen on the port, whatever the address. */
async function listeners(table: string, port: number): Promise<string[]> {
  const text = await orElse(readFile(`/proc/self/net/${table}`, 'utf8'), '');
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1]?.endsWith(suffix) && fields[3] === LISTEN)
    .map((fields) => `socket:[${fields[9]}]`);
}

async function holdsAny(pid: string, links: ReadonlySet<string>): Promise<boolean> {
  for (const fd of await entries(`/proc/${pid}/fd`)) {
    if (links.has(await orElse(readlink(`/proc/${pid}/fd/${fd}`), ''))) return true;
  }
  return false;
}

async function nameOf(pid: string): Promise<string> {
  return (await orElse(readFile(`/proc/${pid}/comm`, 'utf8'), 'a process')).trim();
}

const entries = (path: string): Promise<string[]> => orElse(readdir(path), []);

/** Processes end, and keep their descriptors to themselves: what can't be read is not the holder that can be told. */
async function orElse<T>(reading: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await reading;
  } catch {
    return otherwise;
  }
}
