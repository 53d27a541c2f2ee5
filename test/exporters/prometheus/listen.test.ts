import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { listen } from '../../../src/exporters/prometheus/listen.ts';
import { portHolder } from '../../../src/exporters/prometheus/port-holder.ts';

const SETTING = 'exporters.prometheus.endpoint';

const open: Server[] = [];
afterEach(() => {
  for (const server of open.splice(0)) server.close();
});

async function started(host: string, port = 0, create: () => Server = createServer): Promise<Server[]> {
  const servers = await listen({ host, port }, SETTING, create);
  open.push(...servers);
  return servers;
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;
const addresses = (servers: Server[]): string[] => servers.map((server) => (server.address() as AddressInfo).address);

/** A server on which listening at `host` fails with `code`. */
function failingAt(host: string, code: string): () => Server {
  return () => {
    const server = createServer();
    const listenAnywhere = server.listen.bind(server) as (...all: unknown[]) => Server;
    server.listen = ((options: { host: string }, done: () => void) => {
      if (options.host !== host) return listenAnywhere(options, done);
      queueMicrotask(() => server.emit('error', Object.assign(new Error(code), { code })));
      return server;
    }) as Server['listen'];
    return server;
  };
}

describe('listening', () => {
  it('takes one address as it is', async () => {
    expect(addresses(await started('127.0.0.1'))).toEqual(['127.0.0.1']);
  });

  it('takes localhost for both loopback addresses, on one port', async () => {
    const servers = await started('localhost');
    expect(addresses(servers)).toEqual(['127.0.0.1', '::1']);
    expect(portOf(servers[0]!)).toBe(portOf(servers[1]!));
  });

  it.each(['EAFNOSUPPORT', 'EADDRNOTAVAIL'])('does without IPv6 where there is none (%s)', async (code) => {
    expect(addresses(await started('localhost', 0, failingAt('::1', code)))).toEqual(['127.0.0.1']);
  });

  it.each(['EAFNOSUPPORT', 'EADDRNOTAVAIL'])(
    'takes :: for every address, for IPv4’s where there is no other (%s)',
    async (code) => {
      const [server] = await started('::', 0, () => createServer((_request, response) => response.end()));
      expect(addresses([server!])).toEqual(['::']);
      for (const host of ['127.0.0.1', '[::1]']) await fetch(`http://${host}:${portOf(server!)}/`, { method: 'HEAD' });
      expect(addresses(await started('::', 0, failingAt('::', code)))).toEqual(['0.0.0.0']);
    },
  );

  it('says which address is taken, by whom, and which setting to change', async () => {
    const [holder] = await started('127.0.0.1');
    const port = portOf(holder!);
    const failure = await listen({ host: 'localhost', port }, SETTING, createServer).catch((error) => error);
    expect(failure).toMatchObject({ name: 'TcpledgerError', code: 'TCPL_E_ENDPOINT', exitCode: 1 });
    expect(failure.message).toContain(`127.0.0.1:${port}: the address is taken by`);
    expect(failure.message).toContain(`(pid ${process.pid})`);
    expect(failure.message).toMatch(/choose another port\. The setting is exporters\.prometheus\.endpoint\.$/);
  });

  it('listens nowhere when one of the two loopback addresses is taken', async () => {
    const [holder] = await started('::1');
    const port = portOf(holder!);
    const failure = await listen({ host: 'localhost', port }, SETTING, createServer).catch((error) => error);
    expect(failure.message).toContain(`[::1]:${port}`);
    const [again] = await started('127.0.0.1', port);
    expect(portOf(again!)).toBe(port);
  });

  it.each([
    ['EACCES', /may not use the port.*CAP_NET_BIND_SERVICE/],
    ['EADDRNOTAVAIL', /no interface of this machine has that address.*0\.0\.0\.0/],
    ['ENOTFOUND', /does not resolve/],
    ['ESTRANGE', /ESTRANGE.*exporters\.prometheus\.endpoint/],
  ])('explains %s', async (code, message) => {
    const listening = listen({ host: '192.0.2.1', port: 80 }, SETTING, failingAt('192.0.2.1', code));
    await expect(listening).rejects.toMatchObject({ code: 'TCPL_E_ENDPOINT', message: expect.stringMatching(message) });
  });
});

describe('port holder', () => {
  it('finds a listener in another process, by name and pid', async () => {
    const child = spawn(process.execPath, [
      '-e',
      `const s = require('net').createServer().listen(0, '127.0.0.1', () => console.log(s.address().port))`,
    ]);
    try {
      const [line] = await once(child.stdout, 'data');
      expect(await portHolder(Number(line))).toMatch(new RegExp(`^\\S+ \\(pid ${child.pid}\\)$`));
    } finally {
      child.kill();
      await once(child, 'exit');
    }
  });

  it('does not know who holds a port that nobody listens on', async () => {
    const [server] = await started('127.0.0.1');
    const port = portOf(server!);
    open.splice(0);
    server!.close();
    await once(server!, 'close');
    expect(await portHolder(port)).toBeUndefined();
  });
});
