/** The other side of ctnetlink, written from the kernel's headers apart from the code under test: what the kernel reads and says. */
import type { Endpoint, Flow } from '../../../src/identity/conntrack/messages.ts';
import { addressBytes, addressFromBytes } from '../../../src/semconv/address.ts';

/** Attributes as a tree: by type a value, or the attributes nested in it. */
interface Tree {
  [type: number]: Buffer | Tree;
}

const NESTED = 0x8000;

function writeTree(tree: Tree): Buffer {
  return Buffer.concat(
    Object.entries(tree).map(([type, value]) => {
      const nested = !Buffer.isBuffer(value);
      const bytes = nested ? writeTree(value) : value;
      const head = Buffer.alloc(4);
      head.writeUInt16LE(4 + bytes.length, 0);
      head.writeUInt16LE(Number(type) | (nested ? NESTED : 0), 2);
      return Buffer.concat([head, bytes, Buffer.alloc(-bytes.length & 3)]);
    }),
  );
}

function readTree(bytes: Buffer): Tree {
  const tree: Tree = {};
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    const type = bytes.readUInt16LE(at + 2);
    const value = bytes.subarray(at + 4, at + length);
    tree[type & ~NESTED] = type & NESTED ? readTree(value) : value;
    at += (length + 3) & ~3;
  }
  return tree;
}

const u16 = (value: number): Buffer => Buffer.of(value >> 8, value & 255);

function tuple(source: Endpoint, destination: Endpoint): Tree {
  const [from, to] = source.address.includes(':') ? [3, 4] : [1, 2];
  return {
    1: { [from]: Buffer.from(addressBytes(source.address)), [to]: Buffer.from(addressBytes(destination.address)) },
    2: { 1: Buffer.of(6), 2: u16(source.port), 3: u16(destination.port) },
  };
}

/** nlmsghdr, nfgenmsg, body. */
function message(type: number, sequence: number, body: Buffer): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32LE(head.length + body.length, 0);
  head.writeUInt16LE(type, 4);
  head.writeUInt32LE(sequence, 8);
  return Buffer.concat([head, body]);
}

export interface Entry {
  readonly server: Endpoint;
  readonly state: number;
}

/** With the attributes around that the kernel has: status, timeout, mark, use, id. */
export function entryMessage(sequence: number, flow: Flow, { server, state }: Entry): Buffer {
  const client = { address: flow.localAddress, port: flow.localPort };
  const number = Buffer.alloc(4);
  const attributes = writeTree({
    1: tuple(client, { address: flow.remoteAddress, port: flow.remotePort }),
    2: tuple(server, client),
    3: number,
    4: { 1: { 1: Buffer.of(state), 2: Buffer.of(7), 3: Buffer.of(7), 4: number.subarray(0, 2) } },
    7: number,
    8: number,
    11: number,
    12: number,
  });
  return message(
    0x100,
    sequence,
    Buffer.concat([Buffer.of(flow.remoteAddress.includes(':') ? 10 : 2, 0, 0, 0), attributes]),
  );
}

/** With the request's header behind it, as the kernel has it. */
export function errorMessage(sequence: number, errno: number): Buffer {
  const code = Buffer.alloc(4);
  code.writeInt32LE(-errno, 0);
  return message(2, sequence, Buffer.concat([code, Buffer.alloc(16)]));
}

export interface Request {
  readonly sequence: number;
  readonly family: number;
  readonly flow: Flow;
}

/** Throws at what the kernel would not take. */
export function readRequests(bytes: Buffer): Request[] {
  const requests: Request[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    const [type, flags] = [bytes.readUInt16LE(at + 4), bytes.readUInt16LE(at + 6)];
    if (type !== 0x101 || flags !== 1) throw new Error(`type ${type}, flags ${flags}`);
    const family = bytes.readUInt8(at + 16);
    const [from, to] = family === 10 ? [3, 4] : [1, 2];
    const { 1: original } = readTree(bytes.subarray(at + 20, at + length)) as { 1: { 1: Tree; 2: Tree } };
    const [address, protocol] = [original[1], original[2]] as Record<number, Buffer>[];
    if (protocol![1]![0] !== 6) throw new Error(`protocol ${protocol![1]![0]}`);
    requests.push({
      sequence: bytes.readUInt32LE(at + 8),
      family,
      flow: {
        localAddress: addressFromBytes(address![from]!)!,
        localPort: protocol![2]!.readUInt16BE(),
        remoteAddress: addressFromBytes(address![to]!)!,
        remotePort: protocol![3]!.readUInt16BE(),
      },
    });
    at += (length + 3) & ~3;
  }
  return requests;
}
