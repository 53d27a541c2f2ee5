import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cleanFileMappings, giveBack } from '../../src/cli/give-back.ts';

/** An entry of /proc/PID/smaps, with the lines that the kernel writes after the one that is read, too. */
function entry(head: string, anonymousKb: number): string {
  const kb = { Size: 4, Rss: 4, Private_Dirty: anonymousKb, Anonymous: anonymousKb, AnonHugePages: 0, Locked: 0 };
  const lines = Object.entries(kb).map(([name, value]) => `${name}:`.padEnd(16) + `${value} kB`.padStart(11));
  return [head, ...lines, 'THPeligible:    0', 'VmFlags: rd mr mw me sd', ''].join('\n');
}

const START = 0x400000n;
const END = 0x4ff000n;

describe('giving memory back', () => {
  it.each([
    ['read-only data', 'r--p 00000000 fe:00 247580                             /usr/bin/node'],
    ['code', 'r-xp 00772000 fe:00 247580                             /usr/bin/node'],
    ['a file that an upgrade has replaced', 'r-xp 00772000 fe:00 247580                       /usr/bin/node (deleted)'],
    ['a name with blanks', 'r-xp 00000000 fe:00 12                               /opt/the agent/koffi.node'],
  ])('a clean mapping is given back: %s', (_, rest) => {
    expect(cleanFileMappings(entry(`00400000-004ff000 ${rest}`, 0))).toEqual([{ start: START, end: END }]);
  });

  it.each([
    ['written to before it was protected', 'r--p 05239000 fe:00 247580                             /usr/bin/node', 12],
    ['code with a breakpoint', 'r-xp 00772000 fe:00 247580                             /usr/bin/node', 4],
    ['writable data', 'rw-p 05239000 fe:00 247580                             /usr/bin/node', 0],
    ['a mapped BPF map', 'r--s 00000000 00:0f 1058                               anon_inode:bpf-map', 0],
    ['a file shared with others', 'r--s 00000000 fe:00 12                               /var/lib/data', 0],
    ['memory of no file', 'r--p 00000000 00:00 0 ', 0],
    ["the kernel's own page", 'r-xp 00000000 00:00 0                                  [vdso]', 0],
  ])('what would be lost or has no file stays: %s', (_, rest, anonymousKb) => {
    const other = entry('00500000-00501000 r--p 00000000 fe:00 9                    /lib/other.so', 0);
    expect(cleanFileMappings(entry(`00400000-004ff000 ${rest}`, anonymousKb) + other)).toEqual([
      { start: 0x500000n, end: 0x501000n },
    ]);
  });

  it("a process's resident files shrink, and it goes on", async () => {
    const residentFilesKb = () => Number(/^RssFile:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))![1]);
    const before = residentFilesKb();
    await giveBack();
    expect(residentFilesKb()).toBeLessThan(before);
    expect(JSON.parse('{"still":["here"]}')).toEqual({ still: ['here'] });
  });
});
