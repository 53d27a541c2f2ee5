/**
 * Gives back the memory that only the start needed: compiling, reading the configuration, and libbpf's reading of the
 * kernel's type information leave about 20 MiB of node's own program mapped that an agent at work does not run, and
 * malloc's heaps full of free pages, which glibc keeps for good. The agent's anonymous memory shrinks by 1 to 3 MiB.
 *
 * A page of a file that nobody has written to can be dropped without loss: it stays in the page cache, and is mapped
 * again, 16 pages at a fault, by whoever needs it.
 */
import { readFile } from 'node:fs/promises';
import koffi from 'koffi';

const MADV_DONTNEED = 4;

export interface AddressRange {
  readonly start: bigint;
  readonly end: bigint;
}

/** Rejects when /proc/self/smaps cannot be read, or when the C library lacks malloc_trim. */
export async function giveBack(): Promise<void> {
  const libc = koffi.load('libc.so.6');
  const mallocTrim = libc.func('int malloc_trim(size_t pad)');
  const madvise = libc.func('int madvise(void *address, size_t length, int advice)');
  mallocTrim(0);
  // One that the kernel refuses (it is locked in memory) stays as it is.
  for (const { start, end } of cleanFileMappings(await readFile('/proc/self/smaps', 'latin1'))) {
    madvise(start, Number(end - start), MADV_DONTNEED);
  }
}

/**
 * The mappings of files, from the text of /proc/PID/smaps, that this process can neither write to nor has ever written
 * to (a debugger's breakpoints, or what the loader relocated, would be lost).
 */
export function cleanFileMappings(smaps: string): AddressRange[] {
  const mappings = smaps.matchAll(
    /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ \d+ +\/.*\n(?:[A-Z].*\n)*?Anonymous: +0 kB$/gm,
  );
  return [...mappings].map(([, start, end]) => ({ start: BigInt(`0x${start}`), end: BigInt(`0x${end}`) }));
}
