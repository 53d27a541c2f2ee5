/** What the kernel holds that an agent may have left behind. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { run } from './command.ts';
import { eventually } from './eventually.ts';

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

/**
 * Everything that was not there before is gone, but for what a living process holds: that is another agent's. The
 * kernel frees BPF objects a little later than they are closed.
 */
export async function nothingIsLeft(before: KernelObjects): Promise<void> {
  await eventually(async () => {
    const now = await kernelObjects();
    const held = heldObjects();
    const added = (kind: keyof KernelObjects, field: string): readonly string[] =>
      now[kind].filter((name) => !before[kind].includes(name) && !held.has(`${field} ${name.split(' ')[0]}`));
    expect({
      programs: added('programs', 'prog_id'),
      maps: added('maps', 'map_id'),
      links: added('links', 'link_id'),
      mounts: now.mounts.filter((mount) => !before.mounts.includes(mount)),
    }).toEqual({ programs: [], maps: [], links: [], mounts: [] });
  });
}

/** `prog_id 5`, `map_id 7`, …: what processes have descriptors of. */
function heldObjects(): Set<string> {
  const held = new Set<string>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const descriptor of listed(`/proc/${pid}/fdinfo`)) {
      for (const [, field, id] of textOf(`/proc/${pid}/fdinfo/${descriptor}`).matchAll(/^(\w+_id):\s+(\d+)$/gm)) {
        held.add(`${field} ${id}`);
      }
    }
  }
  return held;
}

/** Processes end while they are looked at. */
const orElse = <T>(look: () => T, otherwise: T): T => {
  try {
    return look();
  } catch {
    return otherwise;
  }
};
const listed = (directory: string): string[] => orElse(() => readdirSync(directory), []);
const textOf = (path: string): string => orElse(() => readFileSync(path, 'utf8'), '');
