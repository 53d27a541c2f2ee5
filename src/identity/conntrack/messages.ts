/**
 * The two messages of ctnetlink that are used: asking for the entry of one TCP connection, and the answer to it. Layouts
 * and numbers are the kernel's (include/uapi/linux/netlink.h, linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h and
 * nf_conntrack_tcp.h). Headers are in the machine's order, addresses and ports in that of the network.
 */
import { addressBytes, addressFromBytes } from '../../semconv/address.ts';
import { aligned, attribute, findNested, nested, type Span } from './attributes.ts';

/** struct nlmsghdr: u32 length, u16 type, u16 flags, u32 sequence, u32 port; then struct nfgenmsg: family, version, u16 resource. */
const HEADER_BYTES = 16;
const FAMILY_BYTES = 4;
const NLM_F_REQUEST = 1;
const NLMSG_ERROR = 2;
/** NFNL_SUBSYS_CTNETLINK in the high byte of the type. */
const CTNETLINK = 1 << 8;
const IPCTNL_MSG_CT_NEW = CTNETLINK | 0;
const IPCTNL_MSG_CT_GET = CTNETLINK | 1;

/** enum ctattr_type */
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_PROTOINFO = 4;
/** enum ctattr_tuple */
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
/** enum ctattr_ip */
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;
/** enum ctattr_l4proto */
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
/** enum ctattr_protoinfo, enum ctattr_protoinfo_tcp */
const CTA_PROTOINFO_TCP = 1;
const CTA_PROTOINFO_TCP_STATE = 1;

const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_TCP = 6;

/** enum tcp_conntrack, as far as entries are in it. */
export const TCP_STATE = {
  synSent: 1,
  synReceived: 2,
  established: 3,
  finWait: 4,
  closeWait: 5,
  lastAck: 6,
  timeWait: 7,
  close: 8,
  /** SYNs from both ends. */
  synSentTwice: 9,
} as const;

/** One connection as its client's socket shows it. Addresses are canonical text of one family. */
export interface Flow {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** What came for the request with this sequence number. */
export type Answer =
  | { readonly sequence: number; readonly kind: 'entry'; readonly server: Endpoint; readonly state: number }
  /** `errno` 0 acknowledges. */
  | { readonly sequence: number; readonly kind: 'error'; readonly errno: number }
  | { readonly sequence: number; readonly kind: 'malformed' };

/** A request with everything in it but what differs: its sequence number, addresses and ports. */
interface Form {
  readonly bytes: Buffer;
  readonly source: number;
  readonly destination: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

function form(family: number, source: number, destination: number, addressLength: number): Form {
  const address = Buffer.alloc(addressLength);
  const port = Buffer.alloc(2);
  const ip = nested(CTA_TUPLE_IP, attribute(source, address), attribute(destination, address));
  const transport = [attribute(CTA_PROTO_SRC_PORT, port), attribute(CTA_PROTO_DST_PORT, port)];
  const protocol = nested(CTA_TUPLE_PROTO, attribute(CTA_PROTO_NUM, Buffer.of(IPPROTO_TCP)), ...transport);
  const tuple = nested(CTA_TUPLE_ORIG, ip, protocol);
  const bytes = Buffer.concat([Buffer.alloc(HEADER_BYTES + FAMILY_BYTES), tuple]);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(IPCTNL_MSG_CT_GET, 4);
  bytes.writeUInt16LE(NLM_F_REQUEST, 6);
  bytes.writeUInt8(family, HEADER_BYTES);
  const end = bytes.length;
  const first = end - transport[0]!.length - transport[1]!.length;
  const addresses = end - protocol.length - ip.length + 8;
  return {
    bytes,
    source: addresses,
    destination: addresses + addressLength + 4,
    sourcePort: first + 4,
    destinationPort: end - transport[1]!.length + 4,
  };
}

const FORM_V4 = form(AF_INET, CTA_IP_V4_SRC, CTA_IP_V4_DST, 4);
const FORM_V6 = form(AF_INET6, CTA_IP_V6_SRC, CTA_IP_V6_DST, 16);

export const LONGEST_REQUEST = FORM_V6.bytes.length;

/** Writes the request for this flow's entry at `at` and returns where it ends. */
export function writeRequest(into: Buffer, at: number, sequence: number, flow: Flow): number {
  const form = flow.remoteAddress.includes(':') ? FORM_V6 : FORM_V4;
  into.set(form.bytes, at);
  into.writeUInt32LE(sequence, at + 8);
  into.set(addressBytes(flow.localAddress), at + form.source);
  into.set(addressBytes(flow.remoteAddress), at + form.destination);
  into.writeUInt16BE(flow.localPort, at + form.sourcePort);
  into.writeUInt16BE(flow.remotePort, at + form.destinationPort);
  return at + form.bytes.length;
}

/** The answers in the first `length` bytes of what was received. What is cut off before its header ends is none. */
export function readAnswers(bytes: Buffer, length: number): Answer[] {
  const answers: Answer[] = [];
  for (let at = 0; at + HEADER_BYTES <= length; ) {
    const messageBytes = bytes.readUInt32LE(at);
    const sequence = bytes.readUInt32LE(at + 8);
    if (messageBytes < HEADER_BYTES || at + messageBytes > length) {
      answers.push({ sequence, kind: 'malformed' });
      break;
    }
    answers.push(readAnswer(bytes, { start: at, end: at + messageBytes }, sequence));
    at += aligned(messageBytes);
  }
  return answers;
}

function readAnswer(bytes: Buffer, { start, end }: Span, sequence: number): Answer {
  const type = bytes.readUInt16LE(start + 4);
  const body = start + HEADER_BYTES;
  if (type === NLMSG_ERROR && body + 4 <= end) return { sequence, kind: 'error', errno: 0 - bytes.readInt32LE(body) };
  if (type === IPCTNL_MSG_CT_NEW && body + FAMILY_BYTES <= end) {
    const attributes = { start: body + FAMILY_BYTES, end };
    const server = sourceOfReply(bytes, attributes);
    const state = findNested(bytes, attributes, [CTA_PROTOINFO, CTA_PROTOINFO_TCP, CTA_PROTOINFO_TCP_STATE]);
    if (server && state && state.end > state.start) {
      return { sequence, kind: 'entry', server, state: bytes.readUInt8(state.start) };
    }
  }
  return { sequence, kind: 'malformed' };
}

/** Who answers the client: the backend that the connection was led to. */
function sourceOfReply(bytes: Buffer, attributes: Span): Endpoint | undefined {
  const reply = findNested(bytes, attributes, [CTA_TUPLE_REPLY]);
  if (!reply) return undefined;
  const ip =
    findNested(bytes, reply, [CTA_TUPLE_IP, CTA_IP_V4_SRC]) ?? findNested(bytes, reply, [CTA_TUPLE_IP, CTA_IP_V6_SRC]);
  const port = findNested(bytes, reply, [CTA_TUPLE_PROTO, CTA_PROTO_SRC_PORT]);
  if (!ip || !port || port.end - port.start !== 2) return undefined;
  const address = addressFromBytes(bytes.subarray(ip.start, ip.end));
  return address === undefined ? undefined : { address, port: bytes.readUInt16BE(port.start) };
}
