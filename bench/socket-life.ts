/**
 * BPF time of a socket's life, from its SYN_SENT or its making to its CLOSE.
 *
 * Method: the kernel's own run statistics. An empty program hangs on the same hook in the same run and sees the same
 * transitions; its time is what the hook and the statistics cost, and is taken off for each of our two. Saturated short
 * connections on the loopback, both ends counted, records of closes in the ring, pairs told apart by executable: the
 * dearest configuration. Nine rounds, medians.
 */
import { HOOKED_PROGRAMS } from '../src/receiver/kernel.ts';
import { attachEmptyProgram, emptyRing, openKernelHalf, withStatistics } from './support/bpf.ts';
import { median, tell } from './support/figures.ts';
import { load } from './support/load.ts';

const ROUNDS = 9;
const CONNECTIONS = 15_000;

async function main(): Promise<void> {
  const net: number[] = [];
  const floor: number[] = [];
  await withStatistics(async () => {
    const empty = await attachEmptyProgram();
    const kernel = await openKernelHalf();
    for (let round = 0; round < ROUNDS; round++) {
      emptyRing(kernel);
      const oursNs = () => HOOKED_PROGRAMS.reduce((sum, name) => sum + kernel.statistics(name).runNs, 0);
      const before = { ours: oursNs(), empty: empty.statistics().runNs };
      const { connections } = await load({ connections: CONNECTIONS });
      const lives = 2 * connections;
      const emptyNs = (empty.statistics().runNs - before.empty) / lives;
      floor.push(emptyNs);
      net.push((oursNs() - before.ours) / lives - HOOKED_PROGRAMS.length * emptyNs);
    }
    await kernel.close();
    await empty.close();
  });
  tell([
    {
      name: 'BPF time per socket life, net of empty programs',
      measured: median(net) / 1000,
      unit: 'µs',
      atMost: 1.3,
      note: `rounds ${Math.min(...net).toFixed(0)} to ${Math.max(...net).toFixed(0)} ns; an empty program ${median(floor).toFixed(0)} ns`,
    },
  ]);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
