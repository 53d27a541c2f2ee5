import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bpfObjectPath } from '../../src/build-info.ts';
import { HOOKED_PROGRAMS, type Kernel, type KernelOptions, MAPS } from '../../src/receiver/kernel.ts';
import { openKernel } from '../../src/receiver/open-kernel.ts';
import { createRecycler } from '../../src/receiver/recycler.ts';
import { createSweep } from '../../src/receiver/sweep.ts';
import { ownBpffs } from '../kernel/support/bpffs.ts';

const reason = process.getuid?.() !== 0 ? 'pinning needs root' : undefined;

let bpffs: ReturnType<typeof ownBpffs> | undefined;
let pinPath = '';
const opened: Kernel[] = [];

async function open(options: Partial<KernelOptions> = {}): Promise<Kernel> {
  const kernel = await openKernel({
    objectPath: bpfObjectPath(),
    maxPairs: 64,
    maxConnections: 256,
    ringBytes: 4096,
    loopback: true,
    adopt: false,
    pinPath,
    connectHooks: false,
    onAttaching: () => {},
    ...options,
  });
  opened.push(kernel);
  return kernel;
}

const closeAll = async () => {
  for (const kernel of opened.splice(0)) await kernel.close();
};

describe.skipIf(reason !== undefined)(`pins${reason ? ` (skipped: ${reason})` : ''}`, () => {
  beforeEach(() => {
    bpffs = ownBpffs();
    pinPath = join(bpffs.directory, 'pins');
    mkdirSync(pinPath);
  });

  afterEach(async () => {
    await closeAll();
    bpffs?.remove();
  });

  test('the next agent takes the maps over; its mark on a slot is still there', async () => {
    const first = await open();
    expect(first.resumed).toBe(false);
    const slot = Buffer.alloc(first.layouts.slot.size);
    slot.writeUInt32LE(7, first.layouts.slot.offset('generation'));
    expect(first.writeSlot(5, slot)).toBe(0);
    await closeAll();
    const second = await open();
    expect([second.resumed, second.mapsId]).toEqual([true, first.mapsId]);
    expect(second.slots.generation(5)).toBe(7);
  });

  test('a slot that the agent was about to make available is given back by the next one', async () => {
    const first = await open();
    const slots = [2, 3, 4, 5];
    const [lost, ...spare] = slots;
    new DataView(first.state).setUint32(first.layouts.state.offset('next_slot'), 6, true);
    for (const slot of spare) expect(first.pushSpare(slot)).toBe(0);
    await closeAll();
    const second = await open();
    const recycler = createRecycler(second, createSweep(second), async () => {}, {
      idleNs: 120e9,
      quarantineNs: 0,
      pressedNs: 0,
    });
    for (let i = 0; i < 2; i++) await recycler.run(() => {});
    expect(recycler.recycled).toBe(1);
    expect(second.slots.generation(lost!)).toBe(1);
    const found: number[] = [];
    for (let slot = second.popSpare(false); slot >= 0; slot = second.popSpare(false)) found.push(slot);
    /* whoever connects on this machine meanwhile takes one */
    const created = second.layouts.slot.offset('created_ns');
    const isUsed = (slot: number) => second.slots.bytes(slot).readBigUInt64LE(second.slots.base(slot) + created) !== 0n;
    expect([...found, ...slots.filter(isUsed)].toSorted()).toEqual(slots);
  });

  test('with other sizes everything is new', async () => {
    const first = await open();
    await closeAll();
    const second = await open({ maxPairs: 128 });
    expect(second.resumed).toBe(false);
    expect(second.mapsId).not.toBe(first.mapsId);
    expect(readdirSync(pinPath).filter((name) => name.startsWith('layout_'))).toHaveLength(1);
  });

  test.for(['map_slots', 'link_tcpledger_again'])('without %s nothing is taken over', async (name) => {
    await open();
    await closeAll();
    unlinkSync(join(pinPath, name));
    expect((await open()).resumed).toBe(false);
    expect(readdirSync(pinPath)).toHaveLength(MAPS.length + HOOKED_PROGRAMS.length + 1);
  });

  test('a set that was never completed is not taken over', async () => {
    await open();
    await closeAll();
    for (const name of readdirSync(pinPath)) if (name.startsWith('layout_')) rmdirSync(join(pinPath, name));
    expect((await open()).resumed).toBe(false);
  });

  test('what others keep in the directory stays', async () => {
    mkdirSync(join(pinPath, 'theirs', 'deep'), { recursive: true });
    mkdirSync(join(pinPath, 'map_theirs'));
    await open();
    await closeAll();
    await open({ maxPairs: 128 });
    expect(readdirSync(pinPath)).toEqual(expect.arrayContaining(['theirs', 'map_theirs']));
    expect(readdirSync(join(pinPath, 'theirs'))).toEqual(['deep']);
  });

  test('two agents on one path: the second says which process holds it', async () => {
    await open();
    await expect(open()).rejects.toThrow(
      expect.objectContaining({
        code: 'TCPL_E_PIN',
        exitCode: 1,
        message: expect.stringMatching(new RegExp(`${pinPath}: this process holds it`)),
      }),
    );
    await closeAll();
    expect((await open()).resumed).toBe(true);
  });

  test('a start that fails gives the directory up', async () => {
    const broken = open({
      onAttaching: () => {
        throw new Error('not today');
      },
    });
    await expect(broken).rejects.toThrow('not today');
    expect((await open()).resumed).toBe(false);
  });

  test('the pinned program goes on counting while no agent is there', async () => {
    const first = await open({ onAttaching: (state) => state.setRecords([]) });
    const opens = (kernel: Kernel) => {
      const { slot } = kernel.layouts;
      const at = slot.offset('opened');
      return Array.from({ length: 64 }, (_, i) => kernel.slots.bytes(i).readUInt32LE(kernel.slots.base(i) + at)).reduce(
        (a, b) => a + b,
      );
    };
    const before = opens(first);
    await closeAll();
    /* refused, by a port that nobody listens on: counted as opened and failed */
    const connect = `require('net').connect(1, '127.0.0.1').on('error', () => {})`;
    await promisify(execFile)(process.execPath, ['-e', connect]);
    expect(opens(await open())).toBeGreaterThan(before);
  });
});
