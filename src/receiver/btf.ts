/**
 * The layout of the records that C and TypeScript share, taken from the BPF object's own type information (BTF), so that
 * no offset is typed twice. Reads struct members and the variables of a data section; nothing else is needed.
 *
 * Format: Documentation/bpf/btf.rst of the kernel.
 */
import { TcpledgerError } from '../collector/errors.ts';

const MAGIC = 0xeb9f;
const HEADER_BYTES = 24;
const TYPE_BYTES = 12;

const KIND_STRUCT = 4;
const KIND_UNION = 5;
const KIND_DATASEC = 15;

/** Bytes behind a type's head (struct btf_type), per kind; `n` is its vlen. */
const TRAILER: Readonly<Record<number, (n: number) => number>> = {
  1: () => 4, // INT
  3: () => 12, // ARRAY
  4: (n) => 12 * n, // STRUCT
  5: (n) => 12 * n, // UNION
  6: (n) => 8 * n, // ENUM
  13: (n) => 8 * n, // FUNC_PROTO
  14: () => 4, // VAR
  15: (n) => 12 * n, // DATASEC
  17: () => 4, // DECL_TAG
  19: (n) => 12 * n, // ENUM64
};

/** Size in bytes, and the byte offset of each member. */
export interface Layout {
  readonly name: string;
  readonly size: number;
  /** Throws when the record has no such member: the object and this code do not belong together. */
  offset(member: string): number;
}

export interface Btf {
  struct(name: string): Layout;
  /** A section of global variables, as `.rodata`. */
  section(name: string): Layout;
}

interface Type {
  readonly kind: number;
  readonly vlen: number;
  readonly name: string;
  readonly size: number;
  /** Where the trailer begins. */
  readonly at: number;
}

/** Throws TCPL_E_BPF_OBJECT when `data` is no BTF or is cut off. */
export function parseBtf(data: Buffer): Btf {
  if (data.length < HEADER_BYTES || data.readUInt16LE(0) !== MAGIC) throw broken('it has no BTF');
  const head = data.readUInt32LE(4);
  const first = head + data.readUInt32LE(8);
  const end = first + data.readUInt32LE(12);
  const strings = head + data.readUInt32LE(16);
  const inside = (at: number, length: number): number => {
    if (at + length > data.length) throw broken('its BTF is cut off');
    return at;
  };
  const nameAt = (offset: number) => {
    const zero = data.indexOf(0, inside(strings + offset, 1));
    if (zero < 0) throw broken('its BTF is cut off');
    return data.toString('latin1', strings + offset, zero);
  };
  const types: Type[] = [{ kind: 0, vlen: 0, name: 'void', size: 0, at: 0 }];
  for (let at = first; at < end; ) {
    inside(at, TYPE_BYTES);
    const info = data.readUInt32LE(at + 4);
    const type = {
      kind: (info >>> 24) & 0x1f,
      vlen: info & 0xffff,
      name: nameAt(data.readUInt32LE(at)),
      size: data.readUInt32LE(at + 8),
      at: at + TYPE_BYTES,
    };
    types.push(type);
    const trailer = TRAILER[type.kind]?.(type.vlen) ?? 0;
    at = inside(type.at, trailer) + trailer;
  }

  const find = (name: string, ...kinds: number[]): Type => {
    const type = types.find((candidate) => candidate.name === name && kinds.includes(candidate.kind));
    if (!type) throw broken(`its BTF has no ${name}`);
    return type;
  };
  const layout = (type: Type, member: (entry: number) => [string, number]): Layout => {
    const offsets = new Map(Array.from({ length: type.vlen }, (_, i) => member(type.at + 12 * i)));
    return {
      name: type.name,
      size: type.size,
      offset(name) {
        const offset = offsets.get(name);
        if (offset === undefined) throw broken(`its ${type.name} has no ${name}`);
        return offset;
      },
    };
  };
  return {
    struct: (name) =>
      layout(find(name, KIND_STRUCT, KIND_UNION), (entry) => [
        nameAt(data.readUInt32LE(entry)),
        (data.readUInt32LE(entry + 8) & 0xffffff) / 8,
      ]),
    section: (name) =>
      layout(find(name, KIND_DATASEC), (entry) => [
        types[data.readUInt32LE(entry)]?.name ?? '',
        data.readUInt32LE(entry + 4),
      ]),
  };
}

function broken(what: string): TcpledgerError {
  return new TcpledgerError(
    'TCPL_E_BPF_OBJECT',
    `the BPF object does not belong to this build of the agent: ${what}. Build again (npm run build).`,
  );
}
