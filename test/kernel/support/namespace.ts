/**
 * Network namespaces with addresses to spare. A whole prefix is local in each (`ip route add local`), so a test takes
 * any address of it without configuring it, and two of them know the way to each other.
 */
import { existsSync, readdirSync } from 'node:fs';
import { undoLater } from './cleanup.ts';
import { run, runSync } from './command.ts';

const PREFIX = 'tcpl-';

let made = 0;

export interface Namespace {
  readonly name: string;
  /** Runs a program inside. */
  exec(program: string, ...args: string[]): Promise<string>;
  sysctl(key: string, value: string): Promise<void>;
  /** Adds a rule to this namespace's packet filter. Resolves to the function that lifts it. */
  filter(chain: 'input' | 'output', rule: string): Promise<() => Promise<void>>;
  remove(): void;
}

/** Two namespaces joined by a veth pair called eth0 at both ends; link-local addresses fe80::71 and fe80::72. */
export interface Link {
  /** 10.71.0.0/16 and fd71::/64 are local here. */
  readonly client: Namespace;
  /** 10.72.0.0/16 and fd72::/64 are local here. */
  readonly server: Namespace;
  remove(): void;
}

export const LINK_LOCAL = { client: 'fe80::71', server: 'fe80::72' } as const;

/** A namespace with loopback alone; 10.73.0.0/16 and fd73::/64 are local, and so is `local4` if given. */
export async function loopbackNamespace(local4: string[] = []): Promise<Namespace> {
  const namespace = await create();
  await configure([
    ...['10.73.0.0/16', ...local4].map((prefix) => `-n ${namespace.name} route add local ${prefix} dev lo`),
    `-n ${namespace.name} -6 route add local fd73::/64 dev lo`,
  ]);
  return namespace;
}

export async function linkedNamespaces(): Promise<Link> {
  const client = await create();
  const server = await create();
  await run('ip', [
    'link',
    'add',
    'eth0',
    'netns',
    client.name,
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'netns',
    server.name,
  ]);
  await configure([...linkEnd(client.name, 71, 72), ...linkEnd(server.name, 72, 71)]);
  return {
    client,
    server,
    remove() {
      client.remove();
      server.remove();
    },
  };
}

/** Two namespaces that reach each other, and the rest of the world, through a third that forwards, as a node does. */
export interface Route extends Link {
  /** 10.70.1.1 towards the client, 10.70.2.1 towards the server; IPv6 by link-local addresses alone. */
  readonly router: Namespace;
}

export async function routedNamespaces(): Promise<Route> {
  const [client, router, server] = [await create(), await create(), await create()];
  for (const key of ['ipv4.ip_forward', 'ipv6.conf.all.forwarding']) await router.sysctl(`net.${key}`, '1');
  for (const key of ['all', 'default']) await router.sysctl(`net.ipv4.conf.${key}.send_redirects`, '0');
  const end = (here: Namespace, number: number, net: number, device: string) => [
    `link add eth0 netns ${here.name} type veth peer name ${device} netns ${router.name}`,
    `-n ${here.name} link set eth0 addrgenmode none`,
    `-n ${here.name} link set eth0 up`,
    `-n ${here.name} address add 10.70.${net}.${number}/24 dev eth0`,
    `-n ${here.name} address add fe80::${number}/64 dev eth0 nodad`,
    `-n ${here.name} route add local 10.${number}.0.0/16 dev lo`,
    `-n ${here.name} -6 route add local fd${number}::/64 dev lo`,
    `-n ${router.name} link set ${device} addrgenmode none`,
    `-n ${router.name} link set ${device} up`,
    `-n ${router.name} address add 10.70.${net}.1/24 dev ${device}`,
    `-n ${router.name} address add fe80::1/64 dev ${device} nodad`,
    `-n ${router.name} route add 10.${number}.0.0/16 via 10.70.${net}.${number}`,
    `-n ${router.name} -6 route add fd${number}::/64 via fe80::${number} dev ${device}`,
    `-n ${here.name} route add default via 10.70.${net}.1`,
    `-n ${here.name} -6 route add default via fe80::1 dev eth0`,
  ];
  await configure([...end(client, 71, 1, 'eth0'), ...end(server, 72, 2, 'eth1')]);
  return {
    client,
    router,
    server,
    remove() {
      for (const namespace of [client, router, server]) namespace.remove();
    },
  };
}

function linkEnd(name: string, here: number, there: number): string[] {
  return [
    `-n ${name} link set eth0 addrgenmode none`,
    `-n ${name} link set eth0 up`,
    `-n ${name} address add 10.70.0.${here}/24 dev eth0`,
    `-n ${name} address add fe80::${here}/64 dev eth0 nodad`,
    `-n ${name} route add local 10.${here}.0.0/16 dev lo`,
    `-n ${name} -6 route add local fd${here}::/64 dev lo`,
    `-n ${name} route add 10.${there}.0.0/16 via 10.70.0.${there}`,
    `-n ${name} -6 route add fd${there}::/64 via fe80::${there} dev eth0`,
  ];
}

/** Strangers' side of a namespace: what goes to that prefix goes to whoever reads the TUN device. */
export async function addStrangers(namespace: Namespace, prefix: string): Promise<string> {
  const device = 'strangers';
  await configure([
    `-n ${namespace.name} tuntap add ${device} mode tun`,
    // nobody answers twice here: nothing must be dropped on the way
    `-n ${namespace.name} link set ${device} txqueuelen 10000 up`,
    `-n ${namespace.name} route add ${prefix} dev ${device}`,
  ]);
  return device;
}

async function configure(commands: string[]): Promise<void> {
  // one process each: `ip -batch` takes -n and -6 for the whole batch only
  for (const command of commands) await run('ip', command.split(' '));
}

async function create(): Promise<Namespace> {
  removeStale();
  const name = `${PREFIX}${process.pid}-${made++}`;
  await run('ip', ['netns', 'add', name]);
  const remove = undoLater(() => runSync('ip', ['netns', 'delete', name]));
  const exec = (program: string, ...args: string[]): Promise<string> =>
    run('ip', ['netns', 'exec', name, program, ...args]);
  const sysctl = async (key: string, value: string): Promise<void> => {
    await exec('sysctl', '-qw', `${key}=${value}`);
  };
  await run('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
  await sysctl('net.ipv6.ip_nonlocal_bind', '1');
  await exec(
    'nft',
    'add table inet test; ' +
      'add chain inet test input { type filter hook input priority 0; }; ' +
      'add chain inet test output { type filter hook output priority 0; }',
  );
  return {
    name,
    exec,
    sysctl,
    async filter(chain, rule) {
      const added = await exec('nft', '--echo', '--handle', `add rule inet test ${chain} ${rule}`);
      const handle = /# handle (\d+)/.exec(added)?.[1];
      if (handle === undefined) throw new Error(`nft did not say the handle of "${rule}": ${added}`);
      return async () => {
        await exec('nft', `delete rule inet test ${chain} handle ${handle}`);
      };
    },
    remove,
  };
}

/** Namespaces of test processes that were killed before they could clean up. */
function removeStale(): void {
  if (made > 0 || !existsSync('/run/netns')) return;
  for (const name of readdirSync('/run/netns')) {
    const pid = /^tcpl-(\d+)-\d+$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) runSync('ip', ['netns', 'delete', name]);
  }
}
