/**
 * A hardened machine may let no BPF program run while its first process (PID 1, the warden of a sandbox) is the current
 * one, nor in the interrupts that come in the middle of it: no attached program hears of those transitions, the kernel's
 * own trace alone does. What happens there can be nobody's to count, and a test must know of it.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { undoLater } from './cleanup.ts';
import { runSync } from './command.ts';

export interface FirstProcessTrace {
  /** How many TCP transitions have happened while the first process was current, since the last call. */
  taken(): number;
  remove(): void;
}

export function traceFirstProcess(): FirstProcessTrace {
  const mountPoint = mkdtempSync(join(tmpdir(), 'tcpledger-tracefs-'));
  runSync('mount', ['-t', 'tracefs', 'tracefs', mountPoint]);
  const instance = join(mountPoint, 'instances', `tcpledger-${process.pid}`);
  const remove = undoLater(() => {
    rmdirSync(instance);
    runSync('umount', [mountPoint]);
    rmdirSync(mountPoint);
  });
  mkdirSync(instance);
  const event = join(instance, 'events', 'sock', 'inet_sock_set_state');
  const threads = readdirSync('/proc/1/task').map((thread) => `common_pid == ${thread}`);
  writeFileSync(join(event, 'filter'), threads.join(' || '));
  writeFileSync(join(event, 'enable'), '1');
  const trace = join(instance, 'trace');
  return {
    taken() {
      const transitions = readFileSync(trace, 'utf8').match(/inet_sock_set_state:/g)?.length ?? 0;
      writeFileSync(trace, '');
      return transitions;
    },
    remove,
  };
}
