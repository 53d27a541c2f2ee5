/** `tcpledger doctor` on the page's endpoint: free, an agent's, or somebody else's. */
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { endpoint } from '../../src/cli/doctor/endpoint.ts';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise((closed) => server.close(closed));
});

async function taken(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return (server.address() as AddressInfo).port;
}

const takenByPage = (body: string): Promise<number> => {
  const answer: RequestListener = (_request, response) => response.setHeader('connection', 'close').end(body);
  return taken(createServer(answer));
};

const look = (port: number) => endpoint({ id: 'prometheus', host: '127.0.0.1', port });

it('free', async () => {
  expect(await look(0)).toEqual({ feature: 'endpoint', ok: true, detail: '127.0.0.1:0 is free' });
});

it('an agent’s, as in its own container', async () => {
  const port = await takenByPage('# TYPE tcpledger_build_info gauge\ntcpledger_build_info{version="0.1.0"} 1\n');
  expect(await look(port)).toEqual({
    feature: 'endpoint',
    ok: true,
    detail: `127.0.0.1:${port} is an agent's that runs`,
  });
});

it.each([
  ['another page', () => takenByPage('go_goroutines 7\n')],
  ['no page', () => taken(createTcpServer((socket) => socket.destroy()))],
])('%s: taken, and by whom', async (_, take) => {
  const port = await take();
  const finding = await look(port);
  expect(finding).toMatchObject({ ok: false, code: 'TCPL_E_ENDPOINT' });
  expect(finding.detail).toContain(`127.0.0.1:${port}: the address is taken by node`);
});
