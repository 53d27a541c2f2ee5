/**
 * A settle of 10,000 open sockets.
 *
 * Method: the kernel's own run statistics of the settle program, over the sockets that it saw; all have exchanged bytes
 * since the settle before, so that every counter is claimed. 15 rounds, medians. The reference of the same run is a
 * settle of the same sockets when nothing has changed.
 */
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { openKernelState } from '../src/receiver/kernel-state.ts';
import { openKernelHalf, withStatistics } from './support/bpf.ts';
import { median, tell } from './support/figures.ts';

const CONNECTIONS = 5_000;
const ROUNDS = 15;

async function main(): Promise<void> {
  const busy: number[] = [];
  const quiet: number[] = [];
  let seen = 0;
  await withStatistics(async () => {
    const kernel = await openKernelHalf();
    const state = openKernelState(kernel.state, kernel.layouts.state);
    const settleNs = async () => {
      const before = kernel.statistics('tcpledger_settle').runNs;
      await kernel.settle();
      seen = state.entries('conns');
      return (kernel.statistics('tcpledger_settle').runNs - before) / seen;
    };
    const sockets = await openSockets();
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all(sockets.map((socket) => new Promise((sent) => socket.write('x', sent))));
      await settleNs().then((ns) => busy.push(ns));
      await settleNs().then((ns) => quiet.push(ns));
    }
    for (const socket of sockets) socket.destroy();
    await kernel.close();
  });
  tell([
    {
      name: `settle, ${seen} open sockets, all changed`,
      measured: median(busy) / 1000,
      unit: 'µs each',
      atMost: 0.8,
      note: `none changed: ${(median(quiet) / 1000).toFixed(2)} µs each`,
    },
  ]);
}

/** Both ends in this process; the accepting ends throw away what they read. */
async function openSockets(): Promise<Socket[]> {
  const server = createServer((socket) => socket.resume()).listen(0, '127.0.0.1', 4096);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const sockets: Socket[] = [];
  for (let i = 0; i < CONNECTIONS; i++) {
    const socket = createConnection(port, '127.0.0.1');
    await once(socket, 'connect');
    sockets.push(socket);
  }
  server.unref();
  return sockets;
}

main()
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => process.exit());
