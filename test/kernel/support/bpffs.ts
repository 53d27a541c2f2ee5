/** A BPF file system of the test's own, so that nothing else's pins are in the way, on machines too that have none mounted. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { undoLater } from './cleanup.ts';
import { runSync } from './command.ts';

export function ownBpffs(): { directory: string; remove: () => void } {
  const directory = mkdtempSync(join(tmpdir(), 'tcpledger-bpffs-'));
  runSync('mount', ['-t', 'bpf', 'bpf', directory]);
  const remove = undoLater(() => {
    runSync('umount', [directory]);
    rmSync(directory, { recursive: true });
  });
  return { directory, remove };
}
