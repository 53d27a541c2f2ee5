/**
 * What it costs to ask conntrack for the backends of 2,048 connections (one batch of records), and what it costs the
 * records of which nothing is asked.
 *
 * Method: a network namespace of its own, in which nftables leads each connection to a VIP to one of two backends. Then
 * in turns, 60 rounds, medians: all of the connections asked for at once; one at a time; as many that never were. The
 * reference of the same run is a send and a receive of as many bytes on a UDP socket through the same calls: what two
 * system calls cost from here without conntrack. For the records: the logs side of identity with 2,048 records of one
 * labelled pair, with and without conntrack to ask.
 *
 *     node bench/run.mjs conntrack
 */
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer } from 'node:net';
import koffi from 'koffi';
import { systemClock } from '../src/identity/clock.ts';
import { Conntrack } from '../src/identity/conntrack/conntrack.ts';
import { conntrackKernel } from '../src/identity/conntrack/kernel.ts';
import type { Flow } from '../src/identity/conntrack/messages.ts';
import { recordOf, workload } from '../test/identity/fakes.ts';
import { createRig } from '../test/identity/rig.ts';
import { run } from '../test/kernel/support/command.ts';
import { loopbackNamespace } from '../test/kernel/support/namespace.ts';
import { median, tell } from './support/figures.ts';

const CONNECTIONS = 2_048;
const ROUNDS = 60;
const VIP = '10.96.0.1';
const PORT = 80;
const CLIENT = '127.0.0.2';
const INSIDE = 'TCPLEDGER_BENCH_INSIDE';
/** Bytes of a request, and of an answer about. */
const REQUEST = 72;
const ANSWER = 300;

async function main(): Promise<void> {
  if (process.env[INSIDE] === undefined) {
    await again();
    return;
  }
  const flows = await translatedConnections();
  const conntrack = new Conntrack({
    kernel: conntrackKernel,
    clock: { ...systemClock, schedule: () => () => {} },
    onUnavailable: (reason) => {
      throw new Error(`conntrack cannot be asked: ${reason}`);
    },
  });
  const strangers = flows.map((flow) => ({ ...flow, remotePort: PORT + 1 }));
  const exchange = await datagrams();
  const times = { batched: [] as number[], single: [] as number[], none: [] as number[], plain: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    times.batched.push(microseconds(() => expectAll(conntrack.ask(flows), (answer) => typeof answer === 'object')));
    times.none.push(microseconds(() => expectAll(conntrack.ask(strangers), (answer) => answer === 'none')));
    times.single.push(microseconds(() => flows.forEach((flow) => void conntrack.ask([flow]))));
    times.plain.push(microseconds(() => flows.forEach(exchange)));
  }
  conntrack.close();
  const [batched, none, single, plain] = [times.batched, times.none, times.single, times.plain].map(median) as [
    number,
    number,
    number,
    number,
  ];
  const { off, on } = labelledRecords();
  tell([
    {
      name: 'a connection asked for, among 2,048',
      measured: batched / plain,
      unit: 'of a datagram there and back',
      atMost: 2,
      note: `${batched.toFixed(2)} µs; datagram ${plain.toFixed(2)} µs; not tracked ${none.toFixed(2)} µs; one at a time ${single.toFixed(2)} µs`,
    },
    {
      name: 'a batch of 2,048 asked for',
      measured: (batched * CONNECTIONS) / 1000,
      unit: 'ms without the event loop',
      atMost: 50,
    },
    {
      name: 'a record of which nothing is asked',
      measured: (on - off) * 1000,
      unit: 'ns more with conntrack to ask',
      atMost: 3,
      note: `${(off * 1000).toFixed(1)} ns without`,
    },
  ]);
}

/** The same program in a network namespace where the VIP's prefix is local. */
async function again(): Promise<void> {
  const namespace = await loopbackNamespace(['10.96.0.0/16']);
  const [program, ...words] = ['ip', 'netns', 'exec', namespace.name, process.execPath, process.argv[1]!];
  const env = { ...process.env, [INSIDE]: '1' };
  process.exitCode = spawnSync(program!, words, { stdio: 'inherit', env }).status ?? 1;
  namespace.remove();
}

/** Microseconds for each of 2,048. */
function microseconds(work: () => void): number {
  const start = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - start) / 1000 / CONNECTIONS;
}

function expectAll<T>(answers: readonly T[], holds: (answer: T) => boolean): void {
  if (!answers.every(holds)) throw new Error('some connections had another answer than they must have');
}

/** Connections through the VIP, opened and closed: as conntrack is asked about them. */
async function translatedConnections(): Promise<Flow[]> {
  const server = createServer((socket) => socket.resume().on('end', () => socket.end())).listen(0, '0.0.0.0', 4096);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await run('nft', [
    'add table ip services; add chain ip services output { type nat hook output priority -100; }; ' +
      `add rule ip services output ip daddr ${VIP} tcp dport ${PORT} ` +
      `dnat to numgen random mod 2 map { 0 : 127.0.0.1, 1 : 127.0.0.3 } : ${port}`,
  ]);
  const flows: Flow[] = [];
  for (let i = 0; i < CONNECTIONS; i++) {
    const socket = createConnection({ host: VIP, port: PORT, localAddress: CLIENT });
    await once(socket, 'connect');
    flows.push({ localAddress: CLIENT, localPort: socket.localPort!, remoteAddress: VIP, remotePort: PORT });
    socket.end();
    await once(socket.resume(), 'close');
  }
  server.close();
  return flows;
}

/** One datagram to itself and its reading, by the calls that conntrack is asked by. */
async function datagrams(): Promise<() => void> {
  const receiver = createSocket('udp4').bind(0, '127.0.0.1');
  await once(receiver, 'listening');
  const { port } = receiver.address();
  const libc = koffi.load('libc.so.6');
  const socket = libc.func('int socket(int domain, int type, int protocol)');
  const bind = libc.func('int bind(int fd, const void *address, uint32_t size)');
  const sendto = libc.func(
    'int64_t sendto(int fd, const void *bytes, size_t length, int flags, const void *address, uint32_t size)',
  );
  const recv = libc.func('int64_t recv(int fd, void *bytes, size_t length, int flags)');
  receiver.close();
  await once(receiver, 'close');
  const address = Buffer.alloc(16);
  address.writeUInt16LE(2, 0);
  address.writeUInt16BE(port, 2);
  address.set([127, 0, 0, 1], 4);
  const fd: number = socket(2, 2, 0);
  if (bind(fd, address, address.length) !== 0) throw new Error(`bind to UDP port ${port}: errno ${koffi.errno()}`);
  const bytes = Buffer.alloc(Math.max(REQUEST, ANSWER));
  const into = Buffer.alloc(8_192);
  return () => {
    sendto(fd, bytes, bytes.length, 0, address, address.length);
    if (Number(recv(fd, into, into.length, 0)) !== bytes.length) throw new Error('a datagram was lost');
  };
}

/** Microseconds a record of a pair that is told apart by nothing, with conntrack to ask and without. */
function labelledRecords(): { off: number; on: number } {
  const sides = [undefined, conntrackKernel].map((kernel) => {
    const rig = createRig(kernel ? { conntrack: kernel } : {});
    rig.logs.next = { consume: () => {} };
    for (const end of [1, 2])
      rig.shelf('file').upsertWorkload(workload({ uid: `${end}`, addresses: [`10.0.0.${end}`] }));
    const pair = rig.source.add(rig.clock);
    const records = Array.from({ length: CONNECTIONS }, (_, i) => recordOf(pair, { connectionId: i }));
    return { times: [] as number[], consume: () => rig.logs.consume({ source: rig.source, records }) };
  });
  for (let round = 0; round < 20 * ROUNDS; round++) {
    for (const { times, consume } of sides) times.push(microseconds(consume));
  }
  const [off, on] = sides.map(({ times }) => median(times.slice(times.length / 2)));
  return { off: off!, on: on! };
}

main()
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => process.exit());
