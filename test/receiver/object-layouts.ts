/** The layouts of the records that C and TypeScript share, out of the built object's ELF section `.BTF`. */
import { readFileSync } from 'node:fs';
import { bpfObjectPath } from '../../src/build-info.ts';
import { type Btf, parseBtf } from '../../src/receiver/btf.ts';
import type { Kernel } from '../../src/receiver/kernel.ts';

/** The contents of a section of a 64-bit little-endian ELF file. */
export function elfSection(file: Buffer, name: string): Buffer {
  const table = Number(file.readBigUInt64LE(0x28));
  const size = file.readUInt16LE(0x3a);
  const header = (index: number) => {
    const at = table + index * size;
    const offset = Number(file.readBigUInt64LE(at + 0x18));
    return {
      name: file.readUInt32LE(at),
      contents: file.subarray(offset, offset + Number(file.readBigUInt64LE(at + 0x20))),
    };
  };
  const names = header(file.readUInt16LE(0x3e)).contents;
  for (let i = 0; i < file.readUInt16LE(0x3c); i++) {
    const section = header(i);
    if (names.toString('latin1', section.name, names.indexOf(0, section.name)) === name) return section.contents;
  }
  throw new Error(`no section ${name}`);
}

export const rawBtf = (): Buffer => elfSection(readFileSync(bpfObjectPath()), '.BTF');

export const objectBtf = (): Btf => parseBtf(rawBtf());

export function objectLayouts(): Kernel['layouts'] {
  const btf = objectBtf();
  return {
    slot: btf.struct('slot'),
    pair: btf.struct('pair'),
    record: btf.struct('record'),
    state: btf.struct('state'),
    listener: btf.struct('listener'),
  };
}
