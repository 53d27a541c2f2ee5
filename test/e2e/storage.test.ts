/** Maps that are pinned and labels that are stored: the agent comes and goes, by SIGKILL too, and the totals go on. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { auditedTotals, seriesTotals } from '../kernel/support/account.ts';
import { type Agent, type AgentOptions, startAgent } from '../kernel/support/agent.ts';
import { ownBpffs } from '../kernel/support/bpffs.ts';
import { undoLater } from '../kernel/support/cleanup.ts';
import { eventually } from '../kernel/support/eventually.ts';
import type { TestWorkload } from '../kernel/support/identity-file.ts';
import { type KernelObjects, kernelObjects, nothingIsLeft } from '../kernel/support/leftovers.ts';
import { load } from '../kernel/support/load.ts';
import { CLIENT, pairOfPeers, SERVER } from '../kernel/support/pair.ts';
import { describeOnKernel } from '../kernel/support/suite.ts';
import { pairTotals, Traffic } from './support/traffic.ts';

/** Each wave of recycling comes from addresses of its own: two pairs an address, 400 of 512 slots in two waves. */
const SOURCES = 100;
const addresses = (wave: number): string[] => Array.from({ length: SOURCES }, (_, i) => `10.73.${60 + wave}.${i}`);

describeOnKernel('pinned and stored', () => {
  let before: KernelObjects;
  let directory: string;
  let removeDirectory: () => void;
  let bpffs: ReturnType<typeof ownBpffs>;
  let traffic: Traffic;
  let agent: Agent | undefined;

  beforeEach(async () => {
    before = await kernelObjects();
    directory = mkdtempSync(join(tmpdir(), 'tcpledger-storage-'));
    removeDirectory = undoLater(() => rmSync(directory, { recursive: true }));
    bpffs = ownBpffs();
    traffic = await Traffic.create();
  });

  afterEach(async () => {
    await agent?.kill();
    agent = undefined;
    traffic.remove();
    bpffs.remove();
    removeDirectory();
    await nothingIsLeft(before);
  });

  async function started(workloads: readonly TestWorkload[], receiver: AgentOptions['receiver'] = {}): Promise<Agent> {
    agent = await startAgent({
      directory,
      workloads,
      receiver: { pin_path: join(bpffs.directory, 'tcpledger'), storage: 'file_storage', ...receiver },
      extensions: { file_storage: { directory: join(directory, 'storage') } },
    });
    return agent;
  }

  /** Entries of the journals that keep a slot's labels with these two names. */
  const storedLabels = (client: string, server: string): number =>
    readdirSync(join(directory, 'storage'))
      .flatMap((name) =>
        readFileSync(join(directory, 'storage', name), 'latin1')
          .split('{"kind":"labels"')
          .slice(1),
      )
      .filter((entry) => entry.includes(client) && entry.includes(server)).length;

  async function auditIsSumOfSeries(): Promise<void> {
    await eventually(async () => {
      const page = await agent!.scrape();
      expect(auditedTotals(page)).toEqual(seriesTotals(page));
    });
  }

  test('the agent is killed again and again under load: nothing is lost, nothing is counted twice', async () => {
    await started(traffic.workloads);
    let running = true;
    const going = (async () => {
      while (running) await traffic.run(500);
    })();
    for (const how of ['kill', 'kill', 'stop', 'kill'] as const) {
      const seen = traffic.connections;
      await eventually(async () => {
        const [opened] = pairTotals(await agent!.scrape(), 'caller', 'callee', 'source');
        expect(opened).toBeGreaterThan(seen);
      });
      await agent![how]();
      // and it goes on while nobody is there
      const away = traffic.connections;
      await eventually(() => expect(traffic.connections).toBeGreaterThan(away + 1000));
      await started(traffic.workloads);
    }
    expect(agent!.stderr()).toContain('took over the kernel half pinned at');
    running = false;
    await going;
    await traffic.isOnPage(agent!);
    await auditIsSumOfSeries();
  });

  test('a connection that is open all the while has its bytes once', async () => {
    const pair = await pairOfPeers();
    await started([CLIENT, SERVER]);
    const { client, server } = await pair.connect();
    const exchange = async (): Promise<void> => {
      await client.send(1000);
      await server.receive(1000);
      await server.send(7000);
      await client.receive(7000);
    };
    await exchange();
    for (let kills = 0; kills < 3; kills++) {
      await agent!.kill();
      await exchange();
      await started([CLIENT, SERVER]);
      await exchange();
    }
    await client.close();
    await server.receiveRest();
    await server.close();
    for (const reporter of ['source', 'destination']) {
      await eventually(async () => {
        const page = await agent!.scrape();
        expect(pairTotals(page, CLIENT.name, SERVER.name, reporter)).toEqual([1, 1, 7000, 49_000]);
        const labels = { reporter, source_workload: CLIENT.name };
        expect(page.sum('tcp_connections_active', labels)).toBe(0);
      });
    }
    await pair.remove();
  });

  test('what was counted under a name keeps it, though the addresses have other owners when the agent is back', async () => {
    const [client, server] = traffic.workloads;
    await started(traffic.workloads);
    await traffic.run(1000);
    await traffic.isOnPage(agent!);
    // of the slots of both ends
    await eventually(() => expect(storedLabels('caller', 'callee')).toBeGreaterThanOrEqual(2));
    await agent!.kill();
    await traffic.run(700);

    await started([
      { name: 'new-caller', ips: client.ips },
      { name: 'new-callee', ips: server.ips },
    ]);
    // until the answer of today is used for a connection of today
    await eventually(async () => {
      await traffic.run(1);
      const [opened] = pairTotals(await agent!.scrape(), 'new-caller', 'new-callee', 'source');
      expect(opened).toBeGreaterThan(0);
    });
    await traffic.run(300);
    for (const reporter of ['source', 'destination']) {
      await eventually(async () => {
        const page = await agent!.scrape();
        const old = pairTotals(page, 'caller', 'callee', reporter);
        const fresh = pairTotals(page, 'new-caller', 'new-callee', reporter);
        const n = traffic.connections;
        expect(old.map((value, i) => value + fresh[i]!)).toEqual([n, n, 11 * n, 22 * n]);
        expect(old[0]).toBeGreaterThanOrEqual(1700);
        expect(fresh[0]).toBeGreaterThanOrEqual(300);
      });
    }
    await auditIsSumOfSeries();
  });

  test('what slots had counted that were given to others is not forgotten', async () => {
    const client = { name: 'many', ips: Array.from({ length: 4 }, (_, wave) => addresses(wave)).flat() };
    const server = { name: 'one', ips: ['10.73.100.1'] };
    let connections = 0;
    const wave = async (number: number): Promise<void> => {
      const count = 10 * SOURCES;
      await load(traffic.namespace, {
        address: server.ips[0]!,
        source: addresses(number)[0]!,
        sources: SOURCES,
        connections: count,
        send: 11,
        reply: 22,
      });
      connections += count;
    };
    const exact = async (): Promise<void> => {
      const n = connections;
      for (const reporter of ['source', 'destination']) {
        await eventually(async () => {
          expect(pairTotals(await agent!.scrape(), 'many', 'one', reporter)).toEqual([n, n, 11 * n, 22 * n]);
        });
      }
    };
    await started([client, server], { max_pairs: 512 });
    await wave(0);
    await wave(1);
    await exact();
    // more than three quarters are in use: slots are recycled after seconds, not minutes; the next two waves need nearly all
    await eventually(async () => {
      const page = await agent!.scrape();
      expect(page.sum('tcpledger_slots_recycled_total')).toBeGreaterThanOrEqual(4 * SOURCES);
      expect(page.sum('tcpledger_map_entries', { map: 'slots' })).toBeLessThan(SOURCES / 4);
    }, 4000);
    await agent!.kill();
    await wave(2);
    await started([client, server], { max_pairs: 512 });
    await exact();
    await wave(3);
    await exact();
    expect((await agent!.scrape()).sum('tcpledger_pair_overflow_total')).toBe(0);
    await auditIsSumOfSeries();

    // once more, and by its own will: what the second agent read is told by the third
    expect(await agent!.stop()).toBe(0);
    await started([client, server], { max_pairs: 512 });
    await exact();
    await auditIsSumOfSeries();
  }, 900_000);
});
