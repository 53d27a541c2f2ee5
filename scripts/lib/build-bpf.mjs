/** The kernel half: bpf/tcpledger.bpf.c → dist/tcpledger.bpf.o, with BTF and without debug sections. */
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { runOrFail, say } from './prepare.mjs';
import { inRoot, ROOT } from './root.mjs';
import { hashInputs, isUpToDate, stamp } from './stamp.mjs';
import { findClang, findStrip, multiarch } from './system.mjs';

const SOURCE = 'bpf/tcpledger.bpf.c';
export const BPF_OUTPUT = 'dist/tcpledger.bpf.o';

/**
 * v3 has compare-and-swap and 32-bit jumps (kernel 5.12); -g makes the BTF that libbpf relocates by. Freestanding: a map
 * may be called `index`. Unused parameters are no mistake where the kernel gives the signature.
 */
const FLAGS = [
  '-target',
  'bpf',
  '-mcpu=v3',
  '-ffreestanding',
  '-O2',
  '-g',
  '-Wall',
  '-Wextra',
  '-Wno-unused-parameter',
  '-Werror',
];

/** With `-target bpf` clang does not look where Debian keeps <asm/types.h>. */
const includes = multiarch && existsSync(`/usr/include/${multiarch}`) ? ['-isystem', `/usr/include/${multiarch}`] : [];

const inputsHash = () => hashInputs(['bpf', 'scripts/lib/build-bpf.mjs'], process.arch);

export const bpfIsUpToDate = () => isUpToDate('bpf', inputsHash(), [BPF_OUTPUT]);

export function buildBpf() {
  const hash = inputsHash();
  const temporary = `${BPF_OUTPUT}.${process.pid}.tmp`;
  mkdirSync(inRoot('dist'), { recursive: true });
  runOrFail([findClang(), ...FLAGS, ...includes, '-c', inRoot(SOURCE), '-o', inRoot(temporary)]);
  const strip = findStrip();
  if (strip) runOrFail([strip, '-g', inRoot(temporary)]);
  else say(`no llvm-strip here: ${BPF_OUTPUT} keeps its debug sections, which is harmless`);
  renameSync(inRoot(temporary), inRoot(BPF_OUTPUT));
  stamp('bpf', hash);
  say(`built ${BPF_OUTPUT} in ${ROOT}`);
}
