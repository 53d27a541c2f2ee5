/** The number of CPUs that the kernel may ever have: /sys/devices/system/cpu/possible, as `0-3` or `0`. */
import { readFileSync } from 'node:fs';

export function possibleCpus(): number {
  const last = /(\d+)\s*$/.exec(readFileSync('/sys/devices/system/cpu/possible', 'latin1'));
  return last ? Number(last[1]) + 1 : 1;
}
