/** The number of CPUs that the kernel may ever have. */
import { readFileSync } from 'node:fs';

const POSSIBLE = '/sys/devices/system/cpu/possible';

/** `list` is a CPU list as the kernel prints it: `0-3`, `0,2-5` or `0`. */
export function possibleCpus(list: string = readFileSync(POSSIBLE, 'latin1')): number {
  const last = /(\d+)\s*$/.exec(list);
  return last ? Number(last[1]) + 1 : 1;
}
