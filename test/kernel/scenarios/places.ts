/** Where a scenario is played: which namespaces, which addresses, which kinds of socket. */
import { LINK_LOCAL } from '../support/namespace.ts';

export interface Place {
  readonly name: string;
  /** `link`: client and server in two namespaces. `loopback`: both in one. */
  readonly topology: 'link' | 'loopback';
  /** Of the packets. */
  readonly network: 'ip' | 'ip6';
  readonly clientFamily: 4 | 6;
  readonly serverFamily: 4 | 6;
  /** Addresses of the case with that number, as a socket of that family takes them. */
  clientHost(index: number): string;
  serverHost(index: number): string;
  /** What the server binds to. */
  listenHost(index: number): string;
  /** What the client connects to. */
  dialHost(index: number): string;
}

const clientV4 = (index: number): string => `10.71.${index >> 8}.${index & 255}`;
const serverV4 = (index: number): string => `10.72.${index >> 8}.${index & 255}`;
const clientV6 = (index: number): string => `fd71::${index.toString(16)}`;
const serverV6 = (index: number): string => `fd72::${index.toString(16)}`;
const mapped = (host: string): string => `::ffff:${host}`;

const place = (
  name: string,
  topology: Place['topology'],
  clientFamily: 4 | 6,
  serverFamily: 4 | 6,
  clientHost: Place['clientHost'],
  serverHost: Place['serverHost'],
  how: Partial<Pick<Place, 'listenHost' | 'dialHost' | 'network'>> = {},
): Place => ({
  name,
  topology,
  network: clientFamily === 4 ? 'ip' : 'ip6',
  clientFamily,
  serverFamily,
  clientHost,
  serverHost,
  listenHost: serverHost,
  dialHost: serverHost,
  ...how,
});

export const IPV4 = place('ipv4', 'link', 4, 4, clientV4, serverV4);
export const IPV6 = place('ipv6', 'link', 6, 6, clientV6, serverV6);

/** An IPv4 client of a [::] listener: the server's socket is of the IPv6 family with v4-mapped addresses. */
const DUAL = place('ipv4 to [::]', 'link', 4, 6, clientV4, serverV4, { listenHost: () => '::' });

/** Both sockets are of the IPv6 family, the packets are IPv4. */
export const MAPPED = place('v4-mapped', 'link', 6, 6, clientV4, serverV4, {
  listenHost: () => '::',
  dialHost: (index) => mapped(serverV4(index)),
  network: 'ip',
});

export const LINK_SCOPE = place(
  'link-local',
  'link',
  6,
  6,
  () => LINK_LOCAL.client,
  () => LINK_LOCAL.server,
  {
    listenHost: () => `${LINK_LOCAL.server}%eth0`,
    dialHost: () => `${LINK_LOCAL.server}%eth0`,
  },
);

export const LOOPBACK4 = place(
  'loopback ipv4',
  'loopback',
  4,
  4,
  (index) => `10.73.${(index >> 7) & 255}.${(index & 127) * 2}`,
  (index) => `10.73.${(index >> 7) & 255}.${(index & 127) * 2 + 1}`,
);
const LOOPBACK6 = place(
  'loopback ipv6',
  'loopback',
  6,
  6,
  (index) => `fd73::${(index * 2).toString(16)}`,
  (index) => `fd73::${(index * 2 + 1).toString(16)}`,
);

export const LINKS: readonly Place[] = [IPV4, IPV6];
export const LOOPBACKS: readonly Place[] = [LOOPBACK4, LOOPBACK6];
export const EVERYWHERE: readonly Place[] = [IPV4, IPV6, DUAL, MAPPED, LOOPBACK4, LOOPBACK6];
