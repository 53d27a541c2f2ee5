/**
 * IP addresses as text and as bytes. Every address that identity compares goes through `canonicalAddress`, so that one
 * address has one spelling: IPv4 as dotted decimal, IPv6 as RFC 5952 has it, v4-mapped IPv6 as IPv4.
 */
import { isIPv4, isIPv6 } from 'node:net';

const DOT = 0x2e;
const ZERO = 0x30;

/**
 * An address as it is compared and looked up: IPv4 as its 32 bits (a signed integer, which the engine holds without an
 * object), IPv6 as canonical text. Most pairs of a node are met, named and forgotten without anybody who reads their
 * addresses, so no text is made of them.
 */
export type Address = number | (string & { readonly is: 'IPv6' });

/** Where there is none, or none is known. */
export const NO_ADDRESS = '' as Address;

/** The first twelve bytes of `::ffff:a.b.c.d`. */
const MAPPED_GROUPS = '0:0:0:0:0:65535';

/** The canonical text of an IP address; undefined if `text` is none (a zone such as `%eth0` is dropped). */
export function canonicalAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  const bare = text.replace(/%.*$/, '');
  if (!isIPv6(bare)) return undefined;
  const groups = ipv6Groups(bare);
  if (groups.slice(0, 6).join(':') === MAPPED_GROUPS) return formatIPv4(groups[6]!, groups[7]!);
  return formatIPv6(groups);
}

/** Of canonical text, or of '', which is none. */
export function addressOf(canonical: string): Address {
  if (canonical === '' || canonical.includes(':')) return canonical as Address;
  let address = 0;
  let octet = 0;
  for (let i = 0; i <= canonical.length; i++) {
    const code = i < canonical.length ? canonical.charCodeAt(i) : DOT;
    if (code !== DOT) octet = octet * 10 + code - ZERO;
    else {
      address = (address << 8) | octet;
      octet = 0;
    }
  }
  return address;
}

/** As canonical text; '' of none. */
export function addressText(address: Address): string {
  return typeof address === 'string' ? address : formatIPv4(address >>> 16, address & 0xffff);
}

/** The 4 or 16 bytes of a canonical address. */
export function addressBytes(canonical: string): Uint8Array {
  if (!canonical.includes(':')) return ipv4Bytes(canonical);
  return Uint8Array.from(ipv6Groups(canonical).flatMap((group) => [group >> 8, group & 255]));
}

/** The canonical text of 4 or 16 bytes in network order; undefined for any other number of bytes. */
export function addressFromBytes(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return ipv4At(bytes, 0);
  return bytes.length === 16 ? addressAt(bytes, 0) : undefined;
}

/** The canonical text of the 16 bytes at `at`, which are in network order. */
export function addressAt(bytes: Uint8Array, at: number): string {
  return isMappedAt(bytes, at) ? ipv4At(bytes, at + 12) : formatIPv6(groupsAt(bytes, at));
}

/** 32 or 128: the prefix length of a single address. */
export const fullLength = (canonical: string): number => (canonical.includes(':') ? 128 : 32);

/** The first `length` bits of a canonical address, the rest zero, as canonical text. */
export function maskAddress(canonical: string, length: number): string {
  if (length >= fullLength(canonical)) return canonical;
  const bytes = addressBytes(canonical);
  for (let at = 0; at < bytes.length; at++) {
    const kept = Math.min(8, Math.max(0, length - at * 8));
    bytes[at]! &= 0xff << (8 - kept);
  }
  // Not addressFromBytes: masking must not turn an IPv6 prefix into a v4-mapped address or the other way round.
  return bytes.length === 4 ? ipv4At(bytes, 0) : formatIPv6(groupsAt(bytes, 0));
}

/** Reachable only from its own network namespace: 127.0.0.0/8 and ::1. */
export const isLoopback = (address: Address): boolean =>
  typeof address === 'number' ? address >>> 24 === 127 : address === '::1';

/** Digit by digit: split would take most of a microsecond. */
function ipv4Bytes(canonical: string): Uint8Array {
  const bytes = new Uint8Array(4);
  let at = 0;
  for (let i = 0; i < canonical.length; i++) {
    const code = canonical.charCodeAt(i);
    if (code === DOT) at++;
    else bytes[at] = bytes[at]! * 10 + code - ZERO;
  }
  return bytes;
}

function ipv6Groups(text: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const hex = dotted
    ? `${dotted[1]}${((Number(dotted[2]) << 8) | Number(dotted[3])).toString(16)}:${((Number(dotted[4]) << 8) | Number(dotted[5])).toString(16)}`
    : text;
  const [head = '', tail] = hex.split('::');
  const parse = (part: string) => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  const front = parse(head);
  if (tail === undefined) return front;
  const back = parse(tail);
  return [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
}

function groupsAt(bytes: Uint8Array, at: number): number[] {
  return Array.from({ length: 8 }, (_, group) => (bytes[at + group * 2]! << 8) | bytes[at + group * 2 + 1]!);
}

function isMappedAt(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 10; i++) if (bytes[i] !== 0) return false;
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff;
}

/** `0.` to `255.` */
const OCTETS = Array.from({ length: 256 }, (_, octet) => `${octet}.`);

/** From how many characters on the engine puts strings together as a tree, to be flattened at the first lookup. */
const TREE_LENGTH = 13;

/** Put together by `+` in half the time that joining takes, where that leaves no tree. */
function ipv4At(bytes: Uint8Array, at: number): string {
  const text = OCTETS[bytes[at]!]! + OCTETS[bytes[at + 1]!]! + OCTETS[bytes[at + 2]!]! + bytes[at + 3]!;
  if (text.length < TREE_LENGTH) return text;
  return [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]].join('.');
}

const formatIPv4 = (high: number, low: number): string => `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as `::`. */
function formatIPv6(groups: readonly number[]): string {
  let start = -1;
  let length = 1;
  for (let at = 0; at < 8; at++) {
    let end = at;
    while (end < 8 && groups[end] === 0) end++;
    if (end - at > length) {
      start = at;
      length = end - at;
    }
    at = Math.max(at, end - 1);
  }
  const hex = groups.map((group) => group.toString(16));
  if (start < 0) return hex.join(':');
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`;
}
