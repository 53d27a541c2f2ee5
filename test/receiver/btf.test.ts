import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bpfObjectPath } from '../../src/build-info.ts';
import { TcpledgerError } from '../../src/collector/errors.ts';
import { parseBtf } from '../../src/receiver/btf.ts';
import { elfSection, objectBtf, rawBtf } from './object-layouts.ts';

interface DumpedType {
  readonly kind: string;
  readonly name: string;
  readonly size?: number;
  readonly members?: readonly { name: string; bits_offset: number }[];
}

/** bpftool reads the same object: an independent reader of the format. */
function dump(): readonly DumpedType[] | undefined {
  try {
    const text = execFileSync('bpftool', ['-j', 'btf', 'dump', 'file', bpfObjectPath()], { maxBuffer: 1e8 });
    return (JSON.parse(text.toString()) as { types: DumpedType[] }).types;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

test.for(['slot', 'pair', 'record', 'state', 'listener', 'connection'])(
  'the layout of struct %s is what bpftool says',
  (name, { skip }) => {
    const types = dump();
    if (!types) return skip('bpftool is not installed');
    const expected = types.find((type) => type.kind === 'STRUCT' && type.name === name);
    const layout = objectBtf().struct(name);
    expect(layout.size).toBe(expected?.size);
    expect(expected?.members?.length).toBeGreaterThan(5);
    for (const member of expected!.members!.filter(({ name }) => name !== '(anon)')) {
      expect([member.name, layout.offset(member.name) * 8]).toEqual([member.name, member.bits_offset]);
    }
  },
);

/** BTF of two variables in a section; in an object file the offsets are 0 until libbpf has opened it. */
function sectionBtf(): Buffer {
  const strings = Buffer.from('\0first\0second\0.rodata\0');
  const name = (text: string) => strings.indexOf(`${text}\0`);
  const info = (kind: number, vlen = 0) => ((kind << 24) | vlen) >>> 0;
  const words = [
    ...[0, info(1), 4, 32], // INT
    ...[name('first'), info(14), 1, 0], // VAR
    ...[name('second'), info(14), 1, 0],
    ...[name('.rodata'), info(15, 2), 24, 2, 8, 4, 3, 20, 4], // DATASEC: (type, offset, size) each
  ];
  const types = Buffer.from(Uint32Array.from(words).buffer);
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0x0001eb9f, 0);
  [24, 0, types.length, types.length, strings.length].forEach((value, i) => {
    header.writeUInt32LE(value, 4 + 4 * i);
  });
  return Buffer.concat([header, types, strings]);
}

test('a section of global variables', () => {
  const rodata = parseBtf(sectionBtf()).section('.rodata');
  expect([rodata.name, rodata.size, rodata.offset('first'), rodata.offset('second')]).toEqual(['.rodata', 24, 8, 20]);
  expect(() => rodata.offset('third')).toThrow(/its \.rodata has no third/);
});

test('the object has the constants that are set before it is loaded', () => {
  const rodata = objectBtf().section('.rodata');
  for (const name of ['slot_count', 'coarse_base', 'count_loopback', 'cpus', 'id_base', 'histogram_bounds']) {
    expect(rodata.offset(name)).toBeGreaterThanOrEqual(0);
  }
});

test('what the object lacks is told as a coded error that names it', () => {
  const btf = objectBtf();
  expect(() => btf.struct('slot').offset('karma')).toThrow(/its slot has no karma.*npm run build/);
  expect(() => btf.struct('ledger')).toThrow(/no ledger/);
  expect(() => btf.section('.data.none')).toThrow(/no \.data\.none/);
  expect(() => btf.struct('ledger')).toThrow(expect.objectContaining({ code: 'TCPL_E_BPF_OBJECT', exitCode: 3 }));
});

test('bytes that are no BTF', () => {
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(24), Buffer.from('\x7fELF'.padEnd(100, '\0'))]) {
    expect(() => parseBtf(bytes)).toThrow(expect.objectContaining({ code: 'TCPL_E_BPF_OBJECT' }));
  }
});

/** Reads all that the receiver asks for; throws nothing but the coded error. */
function readAll(bytes: Buffer): 'read' | 'refused' {
  try {
    const btf = parseBtf(bytes);
    for (const name of ['slot', 'pair', 'record', 'state', 'listener']) btf.struct(name);
    btf.section('.rodata');
    return 'read';
  } catch (error) {
    if (error instanceof TcpledgerError && error.code === 'TCPL_E_BPF_OBJECT') return 'refused';
    throw error;
  }
}

test('BTF that is cut off anywhere is refused', () => {
  const whole = rawBtf();
  expect(readAll(whole)).toBe('read');
  fc.assert(
    fc.property(fc.integer({ min: 0, max: whole.length - 1 }), (length) => {
      expect(readAll(whole.subarray(0, length))).toBe('refused');
    }),
    { numRuns: 300 },
  );
});

test('damaged BTF is read or refused, but never breaks the reader', () => {
  const whole = rawBtf();
  const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(damage, (changes) => {
      const bytes = Buffer.from(whole);
      for (const [at, value] of changes) bytes[at] = value;
      expect(['read', 'refused']).toContain(readAll(bytes));
    }),
    { numRuns: 500 },
  );
  const garbage = fc.uint8Array({ minLength: 24, maxLength: 200 });
  fc.assert(
    fc.property(garbage, (bytes) => {
      const data = Buffer.from(bytes);
      data.writeUInt16LE(0xeb9f);
      expect(readAll(data)).toBe('refused');
    }),
    { numRuns: 500 },
  );
});

test('the section look-up of these tests finds what is there', () => {
  expect(elfSection(readFileSync(bpfObjectPath()), 'license').toString('latin1')).toBe('Dual BSD/GPL\0');
  expect(() => elfSection(readFileSync(bpfObjectPath()), 'none')).toThrow('no section none');
});
