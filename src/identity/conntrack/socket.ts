/**
 * A netlink socket of netfilter, through libc. It never blocks: what the kernel answers to a request for one entry is in
 * the socket's buffer when the request's send returns, since the kernel handles it within that call.
 */
import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
/** linux/netlink.h */
const NETLINK_NETFILTER = 12;
/** recv then returns the whole length of what did not fit. */
const MSG_TRUNC = 0x20;

/** struct sockaddr_nl: u16 family, u16 padding, u32 port, u32 groups; port 0 is the kernel. */
const KERNEL = Buffer.alloc(12);
KERNEL.writeUInt16LE(AF_NETLINK, 0);

/** Calls return 0 or more, or a negative errno. */
export interface NetlinkSocket {
  send(bytes: Buffer, length: number): number;
  /** The bytes of the next message, which may be more than `into` holds; -EAGAIN when there is none. */
  receive(into: Buffer): number;
  close(): void;
}

/** Throws with errno's name in `code`. */
export function openNetlinkSocket(): NetlinkSocket {
  const libc = koffi.load('libc.so.6');
  const socket = libc.func('int socket(int domain, int type, int protocol)');
  const sendto = libc.func(
    'int64_t sendto(int fd, const void *bytes, size_t length, int flags, const void *address, uint32_t size)',
  );
  const recv = libc.func('int64_t recv(int fd, void *bytes, size_t length, int flags)');
  const fd: number = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) {
    const code = getSystemErrorName(-koffi.errno());
    throw Object.assign(new Error(`socket of netfilter's netlink: ${code}`), { code, syscall: 'socket' });
  }
  const result = (value: number | bigint): number => (value < 0 ? -koffi.errno() : Number(value));
  return {
    send: (bytes, length) => result(sendto(fd, bytes, length, 0, KERNEL, KERNEL.length)),
    receive: (into) => result(recv(fd, into, into.length, MSG_TRUNC)),
    close: () => closeSync(fd),
  };
}
