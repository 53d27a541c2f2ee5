/** The agent is told to stop while connections are open and records are on their way, whoever of its peers hangs. */
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { start } from '../cli/support/program.ts';
import { type Agent, type AgentOptions, type MoreExporter, startAgent } from '../kernel/support/agent.ts';
import { undoLater } from '../kernel/support/cleanup.ts';
import { runSync } from '../kernel/support/command.ts';
import { eventually } from '../kernel/support/eventually.ts';
import { type KernelObjects, kernelObjects, nothingIsLeft } from '../kernel/support/leftovers.ts';
import { CLIENT, type PairOfPeers, pairOfPeers, SERVER } from '../kernel/support/pair.ts';
import { describeOnKernel } from '../kernel/support/suite.ts';
import { collectorMissing, startCollector } from '../peers/collector.ts';
import { BAD_COLLECTORS, type BadCollector } from './support/bad-collectors.ts';
import { pageOfRequests, recordsOfRequests } from './support/otlp-json.ts';
import { stopsInTime } from './support/stop-within.ts';
import { Traffic } from './support/traffic.ts';

const CONNECTIONS = 5000;

describeOnKernel('SIGTERM', () => {
  let before: KernelObjects;
  let pair: PairOfPeers;
  let traffic: Traffic;
  const agents: Agent[] = [];
  const collectors: BadCollector[] = [];

  beforeEach(async () => {
    before = await kernelObjects();
    pair = await pairOfPeers();
    traffic = await Traffic.create();
  });

  afterEach(async () => {
    for (const agent of agents.splice(0)) await agent.kill();
    for (const collector of collectors.splice(0)) await collector.close();
    traffic.remove();
    await pair.remove();
    await nothingIsLeft(before);
  });

  async function started(options: AgentOptions = {}): Promise<Agent> {
    const agent = await startAgent({ workloads: [CLIENT, SERVER, ...traffic.workloads], ...options });
    agents.push(agent);
    return agent;
  }

  /** Exporters of both signals to a bad Collector of that kind for each transport. */
  async function exportersTo(kind: string): Promise<NonNullable<AgentOptions['exporters']>> {
    const exporters: Record<string, MoreExporter> = {};
    for (const { name, exporter, start: startCollectorOf } of BAD_COLLECTORS) {
      if (name !== kind) continue;
      const collector = await startCollectorOf();
      collectors.push(collector);
      exporters[exporter] = {
        signals: ['metrics', 'logs'],
        config: { endpoint: `http://127.0.0.1:${collector.port}`, metrics_interval: '1s' },
      };
    }
    expect(Object.keys(exporters)).toHaveLength(2);
    return exporters;
  }

  /** What happens just before: an open connection has exchanged 1000 and 7000 bytes, many others have come and gone. */
  async function happens(): Promise<void> {
    const { client, server } = await pair.connect();
    await client.send(1000);
    await server.receive(1000);
    await server.send(7000);
    await client.receive(7000);
    await client.acknowledged();
    await server.acknowledged();
    await traffic.run(CONNECTIONS);
  }

  test('all that happened before is in the log, and nothing of the open connection', async () => {
    const agent = await started();
    await happens();
    await stopsInTime(agent);
    traffic.isIn(agent.log());
    expect(agent.log().filter(({ fields }) => fields['src.workload'] === CLIENT.name)).toEqual([]);
    await nothingIsLeft(before);
  });

  test('in the midst of the traffic: each line is whole and there once, each end at most', async () => {
    const agent = await started();
    let running = true;
    const going = (async () => {
      while (running) await traffic.run(1000);
    })();
    await eventually(() => expect(agent.log().length).toBeGreaterThan(4000));
    await stopsInTime(agent);
    running = false;
    await going;
    // log() reads strictly
    const ids = agent.log().map(({ fields }) => fields['tcpledger.connection.id']);
    expect(new Set(ids).size).toBe(ids.length);
    await nothingIsLeft(before);
  });

  const missing = collectorMissing();

  test.skipIf(missing !== undefined).for(['otlp_http', 'otlp_grpc'] as const)(
    `the Collector behind %s has it too, and the last numbers of the open connection${missing ? ` (skipped: ${missing})` : ''}`,
    async (exporter) => {
      const collector = await startCollector();
      const endpoint = exporter === 'otlp_http' ? collector.httpUrl : `http://${collector.grpcAddress}`;
      const agent = await started({
        exporters: { [exporter]: { signals: ['metrics', 'logs'], config: { endpoint } } },
      });
      await happens();
      await stopsInTime(agent);
      await eventually(() => {
        const records = recordsOfRequests(collector.received('logs'));
        const ids = (of: readonly unknown[]): string[] => of.map(String).sort();
        expect(ids(records.map(({ attributes }) => attributes['tcpledger.connection.id']))).toEqual(
          ids(agent.log().map(({ fields }) => fields['tcpledger.connection.id'])),
        );
        const page = pageOfRequests(collector.received('metrics'));
        for (const reporter of ['source', 'destination']) {
          const labels = { reporter, source_workload: CLIENT.name, destination_workload: SERVER.name };
          expect(page.sum('istio_tcp_connections_opened_total', labels)).toBe(1);
          expect(page.sum('istio_tcp_connections_closed_total', labels)).toBe(0);
          // the receiving end of an open connection holds one byte back, which might be the FIN
          const [received, sent] = reporter === 'source' ? [1000, 6999] : [999, 7000];
          expect(page.sum('istio_tcp_received_bytes_total', labels)).toBe(received);
          expect(page.sum('istio_tcp_sent_bytes_total', labels)).toBe(sent);
        }
      });
      await collector.stop();
    },
  );

  test.for(['is away', 'is overloaded', 'refuses'])(
    'Collectors behind both exporters, of the kind that %s: in time all the same, and the log file has everything',
    async (kind) => {
      const agent = await started({ exporters: await exportersTo(kind) });
      await happens();
      await stopsInTime(agent);
      traffic.isIn(agent.log());
      await nothingIsLeft(before);
    },
  );

  // both use all the time there is, so two agents use it at once
  test('Collectors of the kind that never answers, and a FIFO whose reader reads nothing: in time all the same, the log file has everything, and what the FIFO did not take is told', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tcpledger-fifo-'));
    const removeDirectory = undoLater(() => rmSync(directory, { recursive: true }));
    const fifo = join(directory, 'fifo');
    runSync('mkfifo', [fifo]);
    const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    const unanswered = await started({ exporters: await exportersTo('never answers') });
    const unread = await started({ logOutput: fifo });
    await happens();
    await Promise.all([stopsInTime(unanswered), stopsInTime(unread)]);
    traffic.isIn(unanswered.log());
    expect(unread.stderr()).toMatch(/\d+ access-log lines could not be written to .*fifo before the end and are lost/);
    closeSync(reader);
    removeDirectory();
    await nothingIsLeft(before);
  });

  test('at any moment of the start: it ends, and nothing stays in the kernel', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tcpledger-early-'));
    const removeDirectory = undoLater(() => rmSync(directory, { recursive: true }));
    const agent = await started({ directory });
    const { configFile } = agent;
    expect(await agent.stop()).toBe(0);
    for (let milliseconds = 0; milliseconds <= 400; milliseconds += 25) {
      const early = start(['run', '--config', configFile]);
      await delay(milliseconds);
      early.child.kill('SIGTERM');
      // before the program listens to it the signal ends the process itself
      expect(['SIGTERM', 0]).toContain(await early.ended);
      await nothingIsLeft(before);
    }
    removeDirectory();
  });
});
