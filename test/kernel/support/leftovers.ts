/** What the kernel holds that an agent may have left behind. */
import { readFileSync } from 'node:fs';
import { run } from './command.ts';

export interface KernelObjects {
  readonly programs: readonly string[];
  readonly maps: readonly string[];
  readonly links: readonly string[];
  readonly mounts: readonly string[];
}

interface Listed {
  readonly id: number;
  readonly name?: string;
  readonly type?: string;
}

/** Everything of BPF on the machine by `id name`, and the mounts: compared before and after a test. */
export async function kernelObjects(): Promise<KernelObjects> {
  const list = async (kind: 'prog' | 'map' | 'link'): Promise<string[]> =>
    (JSON.parse(await run('bpftool', ['-j', kind, 'list'])) as Listed[]).map(
      ({ id, name, type }) => `${id} ${name ?? type ?? ''}`,
    );
  return {
    programs: await list('prog'),
    maps: await list('map'),
    links: await list('link'),
    // namespaces of the test itself are mounts, too
    mounts: readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.includes('/run/netns')),
  };
}
