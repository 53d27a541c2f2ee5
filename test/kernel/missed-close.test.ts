/**
 * A connection whose close was not seen: adoption may be late with what it makes of a socket that closes meanwhile. The
 * race is too short to be had at will, so what it leaves behind is put into the map by hand.
 */
import { join } from 'node:path';
import koffi from 'koffi';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bpfObjectPath } from '../../src/build-info.ts';
import type { Kernel } from '../../src/receiver/kernel.ts';
import { openKernelState } from '../../src/receiver/kernel-state.ts';
import { openLibbpf } from '../../src/receiver/libbpf.ts';
import { openKernel } from '../../src/receiver/open-kernel.ts';
import { objectBtf } from '../receiver/object-layouts.ts';
import { ownBpffs } from './support/bpffs.ts';
import { type PairOfPeers, pairOfPeers } from './support/pair.ts';
import { describeOnKernel } from './support/suite.ts';

describeOnKernel('a close that was not seen', () => {
  const libbpf = openLibbpf();
  let bpffs: ReturnType<typeof ownBpffs>;
  let kernel: Kernel;
  let pair: PairOfPeers;
  let conns: number;

  beforeAll(async () => {
    bpffs = ownBpffs();
    const pinPath = join(bpffs.directory, 'pins');
    kernel = await openKernel({
      objectPath: bpfObjectPath(),
      maxPairs: 64,
      maxConnections: 1024,
      ringBytes: 65536,
      loopback: true,
      adopt: false,
      pinPath,
      onAttaching: () => {},
    });
    const open = koffi.load('libbpf.so.1').func('int bpf_obj_get(const char *path)');
    conns = open(join(pinPath, 'map_conns')) as number;
    pair = await pairOfPeers();
  });

  afterAll(async () => {
    await pair?.remove();
    await kernel?.close();
    bpffs?.remove();
  });

  const connection = objectBtf().struct('connection');
  const isServer = (value: Buffer) => value[connection.offset('role')] === 2;
  const elements = (): Map<string, Buffer> => {
    const found = new Map<string, Buffer>();
    let key: Buffer | null = null;
    for (;;) {
      const next: Buffer = Buffer.alloc(8);
      if (libbpf.nextKey(conns, key, next) < 0) return found;
      const value = Buffer.alloc(connection.size);
      if (libbpf.lookup(conns, next, value) === 0) found.set(next.toString('hex'), value);
      key = next;
    }
  };
  /** Of the pair's slots: what [opened, closed] add up to. */
  const counted = (): number[] =>
    (['opened', 'closed'] as const).map((name) => {
      let sum = 0;
      for (let slot = 2; slot < kernel.coarseBase; slot++) {
        const { slots, layouts } = kernel;
        const at = slots.base(slot) + layouts.slot.offset('pair');
        const port = slots.bytes(slot).readUInt16LE(at + layouts.pair.offset('service_port'));
        if (port === pair.port) {
          sum += Number(slots.bytes(slot).readBigUInt64LE(slots.base(slot) + layouts.slot.offset(name)));
        }
      }
      return sum;
    });

  test('is made up for by the next settle, once', async () => {
    const before = elements();
    const { client, server } = await pair.connect();
    const ours = [...elements()].filter(([key]) => !before.has(key));
    expect(ours).toHaveLength(2);
    await client.linger(0);
    await client.close();
    await server.state('close');
    expect(counted()).toEqual([2, 2]);

    // the server's process still holds its socket, so it is the one whose memory is as it was
    const serverEnd = ours.find(([, value]) => isServer(value))!;
    libbpf.update(conns, Buffer.from(serverEnd[0], 'hex'), serverEnd[1], 0);
    await kernel.settle();
    const state = openKernelState(kernel.state, kernel.layouts.state);
    expect(counted()).toEqual([2, 3]);
    expect(state.errors('close_missed')).toBe(1);
    expect(elements().has(serverEnd[0])).toBe(false);
    await kernel.settle();
    await server.close();
    expect(counted()).toEqual([2, 3]);
  });

  test('is made up for when another connection has the socket', async () => {
    const before = elements();
    const { client, server } = await pair.connect();
    const ours = [...elements()].filter(([key]) => !before.has(key));
    const clientEnd = ours.find(([, value]) => !isServer(value))!;
    // the same socket again: its address is its own
    await client.disconnect();
    await server.state('close');
    await server.close();
    const [opened, closed] = counted();
    libbpf.update(conns, Buffer.from(clientEnd[0], 'hex'), clientEnd[1], 0);
    await client.connect('10.72.9.1', pair.port);
    expect(counted()).toEqual([opened! + 2, closed! + 1]);
    await client.close();
  });
});
