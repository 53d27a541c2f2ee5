/** Address translation the way kube-proxy lays out its rules: a VIP, a choice, a chain for each endpoint. */
import { isIPv6 } from 'node:net';
import { addressBytes } from '../../../src/semconv/address.ts';
import type { Endpoint } from './connect-program.ts';
import type { Namespace } from './namespace.ts';

/** What passes through a node, and what its own processes send. */
export type NatHook = 'prerouting' | 'output';

/** Which endpoint a connection gets; kube-proxy's way is `random`. */
export type Choice = 'in turn' | 'random';

/** Connects to `vip` go to the endpoints. By nftables. */
export async function translate(
  namespace: Namespace,
  hook: NatHook,
  vip: Endpoint,
  endpoints: readonly Endpoint[],
  choice: Choice = 'in turn',
): Promise<void> {
  const { family, table } = tableOf(vip.host);
  const service = `vip-${addressBytes(vip.host).join('-')}-${vip.port}`;
  const chains = endpoints.map((_, number) => `${service}-${number}`);
  await namespace.exec(
    'nft',
    [
      `add table ${table}`,
      `add chain ${table} ${hook} { type nat hook ${hook} priority -100; }`,
      ...endpoints.flatMap((endpoint, number) => [
        `add chain ${table} ${chains[number]}`,
        `add rule ${table} ${chains[number]} meta l4proto tcp dnat to ${text(endpoint)}`,
      ]),
      `add rule ${table} ${hook} ${family} daddr ${vip.host} tcp dport ${vip.port} ` +
        `numgen ${choice === 'random' ? 'random' : 'inc'} mod ${chains.length} vmap { ${chains.map((chain, number) => `${number} : goto ${chain}`).join(', ')} }`,
    ].join('; '),
  );
}

let chainsMade = 0;

/** The same by iptables, or ip6tables. */
export async function translateByIptables(
  namespace: Namespace,
  hook: NatHook,
  vip: Endpoint,
  endpoints: readonly Endpoint[],
  choice: Choice = 'in turn',
): Promise<void> {
  const program = isIPv6(vip.host) ? 'ip6tables' : 'iptables';
  const iptables = (...args: string[]) => namespace.exec(program, '-w', '-t', 'nat', ...args);
  // a chain's name has 28 characters at most
  const service = `VIP-${chainsMade++}`;
  await iptables('-N', service);
  for (const [number, endpoint] of endpoints.entries()) {
    const chain = `${service}-${number}`;
    await iptables('-N', chain);
    await iptables('-A', chain, '-p', 'tcp', '-j', 'DNAT', '--to-destination', text(endpoint));
    // of those that are left each is as likely
    const left = endpoints.length - number;
    const turn =
      choice === 'random'
        ? ['--mode', 'random', '--probability', (1 / left).toFixed(9)]
        : ['--mode', 'nth', '--every', String(left), '--packet', '0'];
    await iptables('-A', service, '-m', 'statistic', ...turn, '-j', chain);
  }
  const match = ['-d', vip.host, '-p', 'tcp', '--dport', String(vip.port)];
  await iptables('-A', hook.toUpperCase(), ...match, '-j', service);
}

/** What goes from `source` to `destination` has the address of the node. */
export async function masquerade(namespace: Namespace, source: string, destination: string): Promise<void> {
  const { family, table } = tableOf(source);
  await namespace.exec(
    'nft',
    `add table ${table}; add chain ${table} postrouting { type nat hook postrouting priority 100; }; ` +
      `add rule ${table} postrouting ${family} saddr ${source} ${family} daddr ${destination} masquerade`,
  );
}

const tableOf = (host: string) =>
  isIPv6(host) ? { family: 'ip6', table: 'ip6 services' } : { family: 'ip', table: 'ip services' };

const text = ({ host, port }: Endpoint): string => (isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`);
