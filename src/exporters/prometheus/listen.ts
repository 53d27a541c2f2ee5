/** Binds the page's endpoint, and says what stands in the way in words for the operator. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type ErrorCode, TcpledgerError } from '../../collector/errors.ts';
import { portHolder } from './port-holder.ts';

interface ListenTarget {
  readonly host: string;
  readonly port: number;
}

/** `localhost` is both loopback addresses, whatever the resolver says; IPv6 only where there is one. */
const LOCALHOST = ['127.0.0.1', '::1'];

/** `::` is every address, those of IPv4 too; where there is no IPv6, those alone. */
const EVERY_ADDRESS = { host: '::', withoutIpv6: '0.0.0.0' } as const;

/** Errors of a machine without IPv6. */
const NO_IPV6: readonly unknown[] = ['EAFNOSUPPORT', 'EADDRNOTAVAIL'];

/**
 * Listens on every address the target stands for, one server each. `setting` is the configuration key to name in errors.
 *
 * @throws TcpledgerError TCPL_E_ENDPOINT; nothing listens then.
 */
export async function listen(target: ListenTarget, setting: string, create: () => Server): Promise<Server[]> {
  const hosts = target.host === 'localhost' ? LOCALHOST : [target.host];
  const servers: Server[] = [];
  let port = target.port;
  try {
    for (const host of hosts) {
      const server = create();
      try {
        await bind(server, host, port);
      } catch (error) {
        const noIpv6 = NO_IPV6.includes(codeOf(error));
        if (noIpv6 && target.host === 'localhost' && host === '::1') continue;
        if (noIpv6 && host === EVERY_ADDRESS.host) {
          return await listen({ host: EVERY_ADDRESS.withoutIpv6, port }, setting, create);
        }
        throw await endpointError(error, host, port, setting);
      }
      servers.push(server);
      // Port 0 is whatever the first address got.
      port = (server.address() as AddressInfo).port;
    }
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  return servers;
}

function bind(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // Two agents on one endpoint are a mistake to be told, so no port is ever shared.
    server.listen({ host, port, exclusive: true, ipv6Only: host === '::1' }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function endpointError(error: unknown, host: string, port: number, setting: string): Promise<TcpledgerError> {
  const address = addressText(host, port);
  const { why, mend } = await explain(error, port);
  const code: ErrorCode = 'TCPL_E_ENDPOINT';
  return new TcpledgerError(
    code,
    `Could not serve the metrics page on ${address}: ${why}. ${mend} The setting is ${setting}.`,
    { cause: error },
  );
}

async function explain(error: unknown, port: number): Promise<{ why: string; mend: string }> {
  switch (codeOf(error)) {
    case 'EADDRINUSE': {
      const holder = await portHolder(port);
      return {
        why: `the address is taken${holder === undefined ? ' by another process' : ` by ${holder}`}`,
        mend: holder === undefined ? 'Stop that process or choose another port.' : 'Stop it or choose another port.',
      };
    }
    case 'EACCES':
      return {
        why: 'this process may not use the port',
        mend: 'Choose a port from 1024 on, or give the process CAP_NET_BIND_SERVICE.',
      };
    case 'EADDRNOTAVAIL':
      return {
        why: 'no interface of this machine has that address',
        mend: 'Choose an address of this machine, 0.0.0.0 for all of them, or localhost.',
      };
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return { why: 'the host name does not resolve', mend: 'Choose an address, or a name that resolves.' };
    default:
      return { why: error instanceof Error ? error.message : String(error), mend: 'Choose another address.' };
  }
}

export function addressText(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
