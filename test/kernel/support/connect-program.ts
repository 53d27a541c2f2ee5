/**
 * Programs of others on connect, compiled here and attached to a cgroup by bpftool as Cilium and Kmesh attach theirs: a
 * load balancer on the socket, and a policy.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addressBytes } from '../../../src/semconv/address.ts';
import { ownBpffs } from './bpffs.ts';
import { undoLater } from './cleanup.ts';
import { run, runSync } from './command.ts';

const SOURCE = join(import.meta.dirname, 'connect-program.bpf.c');
const INCLUDE = `/usr/include/${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu`;

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** In `cgroup` (its directory) and below, connects to `from` go to `to`. Resolves to the function that takes it off. */
export function balance(cgroup: string, from: Endpoint, to: Endpoint): Promise<() => void> {
  return attach(cgroup, from, to, []);
}

/** In `cgroup` and below, connects to `to` are refused with EPERM. */
export function forbid(cgroup: string, to: Endpoint): Promise<() => void> {
  return attach(cgroup, to, to, ['-DFORBID']);
}

async function attach(cgroup: string, from: Endpoint, to: Endpoint, flags: readonly string[]): Promise<() => void> {
  const directory = mkdtempSync(join(tmpdir(), 'tcpledger-connect-'));
  const objectPath = join(directory, 'program.o');
  const family = isIPv6(from.host) ? 6 : 4;
  try {
    await run('clang', [
      ...['-target', 'bpf', '-O2', '-g', '-isystem', INCLUDE, `-DFAMILY=${family}`, ...flags],
      ...[`-DFROM=${bytes(from)}`, `-DFROM_PORT=${from.port}`, `-DTO=${bytes(to)}`, `-DTO_PORT=${to.port}`],
      ...['-c', SOURCE, '-o', objectPath],
    ]);
    const bpffs = ownBpffs();
    const pinned = join(bpffs.directory, 'program');
    await run('bpftool', ['prog', 'load', objectPath, pinned]);
    await run('bpftool', ['cgroup', 'attach', cgroup, `connect${family}`, 'pinned', pinned, 'multi']);
    return undoLater(() => {
      runSync('bpftool', ['cgroup', 'detach', cgroup, `connect${family}`, 'pinned', pinned]);
      bpffs.remove();
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const bytes = ({ host }: Endpoint): string => {
  const all = addressBytes(host);
  return `{${[...(isIPv6(host) ? all : all.slice(-4))].join(',')}}`;
};
