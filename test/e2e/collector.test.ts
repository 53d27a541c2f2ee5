/** The running agent sends to a real Collector: all that the peers know, once, whoever of the two goes away meanwhile. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Case, casesOf, type Played, playAll } from '../kernel/scenarios/cases.ts';
import { ENDINGS } from '../kernel/scenarios/endings.ts';
import { FAILURES } from '../kernel/scenarios/failures.ts';
import { RESETS } from '../kernel/scenarios/resets.ts';
import {
  accountsOf,
  auditedTotals,
  expectedAccounts,
  expectedRecords,
  recordsOf,
  seriesTotals,
} from '../kernel/support/account.ts';
import { type Agent, type AgentOptions, startAgent } from '../kernel/support/agent.ts';
import { undoLater } from '../kernel/support/cleanup.ts';
import { eventually } from '../kernel/support/eventually.ts';
import { freePort } from '../kernel/support/free-port.ts';
import { load } from '../kernel/support/load.ts';
import { loopbackNamespace, type Namespace } from '../kernel/support/namespace.ts';
import { describeOnKernel } from '../kernel/support/suite.ts';
import { type Collector, collectorMissing, startCollector } from '../peers/collector.ts';
import { pageOfRequests, recordsOfRequests } from './support/otlp-json.ts';

const CASES = casesOf([...ENDINGS, ...RESETS, ...FAILURES]);
const HOSTS = new Map(CASES.flatMap(({ client, server }) => [client, server]).map((w) => [w.ips![0]!, w.name]));
const nameOf = (host: string): string => HOSTS.get(host) ?? 'unknown';

const CLIENT = { name: 'load-client', ips: ['10.73.200.1'] } as const;
const SERVER = { name: 'load-server', ips: ['10.73.200.2'] } as const;

const RETRY = { initial_interval: '50ms', max_interval: '200ms', max_elapsed_time: '0s' };

const TRANSPORTS = [
  { id: 'otlp_http', where: ({ http }: Collector['ports']) => ({ endpoint: `http://127.0.0.1:${http}` }) },
  {
    id: 'otlp_grpc',
    where: ({ grpc }: Collector['ports']) => ({ endpoint: `127.0.0.1:${grpc}`, tls: { insecure: true } }),
  },
] as const;

const missing = collectorMissing();

/** Ids of the load's records, for each the number of times that it arrived. */
function arrivals(collector: Collector): Map<string, number> {
  const times = new Map<string, number>();
  for (const { attributes } of recordsOfRequests(collector.received('logs'))) {
    if (attributes['destination.address'] !== SERVER.ips[0]) continue;
    const id = String(attributes['tcpledger.connection.id']);
    times.set(id, (times.get(id) ?? 0) + 1);
  }
  return times;
}

/** Ids of the load's lines in the log file, sorted. */
const loggedIds = (agent: Agent): string[] =>
  agent
    .log()
    .filter(({ fields }) => String(fields['dst.addr']).startsWith(`${SERVER.ips[0]}:`))
    .map(({ fields }) => String(fields['tcpledger.connection.id']))
    .sort();

for (const { id, where } of TRANSPORTS) {
  describeOnKernel(`a Collector behind ${id}`, () => {
    if (missing !== undefined) {
      test.skip(missing, () => undefined);
      return;
    }
    let folder: string;
    let removeFolder: () => void;
    let collector: Collector;
    let agent: Agent;
    let loopback: Namespace;
    let played: ReadonlyMap<Case, Played>;
    let connections = 0;

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'tcpledger-collected-'));
      removeFolder = undoLater(() => rmSync(folder, { recursive: true }));
      collector = await startCollector({ folder });
      loopback = await loopbackNamespace();
      agent = await startAgent({
        workloads: [...CASES.flatMap(({ client, server }) => [client, server]), CLIENT, SERVER],
        exporters: {
          [id]: {
            signals: ['metrics', 'logs'],
            config: {
              ...where(collector.ports),
              compression: 'gzip',
              // the last ones are sent when it stops
              metrics_interval: '10s',
              retry_on_failure: RETRY,
            },
          },
        },
      });
      played = await playAll(CASES);
    }, 1_200_000);

    afterAll(async () => {
      await agent?.kill();
      await collector?.stop();
      loopback?.remove();
      removeFolder?.();
    });

    async function someLoad(count: number): Promise<void> {
      const ends = { address: SERVER.ips[0], source: CLIENT.ips[0] };
      await load(loopback, { ...ends, connections: count, send: 11, reply: 22 });
      connections += count;
    }

    /** Every record of the load is there: at both ends, as the log file has them. */
    async function allArrived(): Promise<void> {
      await eventually(() => {
        expect(loggedIds(agent)).toHaveLength(2 * connections);
        expect([...arrivals(collector).keys()].sort()).toEqual(loggedIds(agent));
      });
    }

    const twice = (): string[] => [...arrivals(collector)].filter(([, times]) => times > 1).map(([key]) => key);

    test('has every record once, equal to the ledgers of the peers', async () => {
      const records = await eventually(() => {
        const received = recordsOfRequests(collector.received('logs'));
        for (const [{ name, client, server }, { ends, error }] of played) {
          expect([name, error]).toEqual([name, undefined]);
          const expected = expectedRecords(ends, true);
          const hosts = new Set([...client.ips!, ...server.ips!]);
          expect([name, recordsOf(received, hosts, expected)]).toEqual([name, expected]);
        }
        return received;
      });
      const ids = records.map(({ attributes }) => attributes['tcpledger.connection.id']);
      expect(ids.length).toBe(new Set(ids).size);
    });

    test('it was away: what happened meanwhile comes when it is back, once', async () => {
      await someLoad(500);
      await allArrived();
      await collector.stop();
      await someLoad(3000);
      await eventually(() => expect(agent.stderr()).toMatch(/sending logs to .* failed: .*; trying again/));
      collector = await startCollector({ like: collector, folder });
      await allArrived();
      expect(twice()).toEqual([]);
      const page = await agent.scrape();
      expect(page.sum('tcpledger_export_failed_records_total', { signal: 'logs' })).toBe(0);
      expect(page.sum('tcpledger_export_dropped_records_total', { signal: 'logs' })).toBe(0);
    });

    test('it goes and comes under load: nothing is lost, and what came twice is told by its id', async () => {
      let changing = true;
      const traffic = (async () => {
        while (changing) await someLoad(1000);
      })();
      for (let round = 0; round < 3; round++) {
        const before = arrivals(collector).size;
        await eventually(() => expect(arrivals(collector).size).toBeGreaterThan(before));
        await collector.stop();
        collector = await startCollector({ like: collector, folder });
      }
      changing = false;
      await traffic;
      await allArrived();
      const times = [...arrivals(collector).values()].reduce((sum, each) => sum + each, 0);
      const { sent, lost } = await eventually(async () => {
        const page = await agent.scrape();
        expect(page.sum('tcpledger_export_queue_size')).toBe(0);
        return {
          sent: page.sum('tcpledger_export_sent_records_total', { signal: 'logs' }),
          lost: page.sum('tcpledger_export_failed_records_total') + page.sum('tcpledger_export_dropped_records_total'),
        };
      });
      expect(lost).toBe(0);
      expect(sent).toBeGreaterThanOrEqual(2 * connections);
      expect(times).toBeGreaterThanOrEqual(2 * connections);
    });

    test('has every series, equal to the ledgers of the peers', async () => {
      expect(await agent.stop()).toBe(0);
      await eventually(() => {
        const page = pageOfRequests(collector.received('metrics'));
        for (const [{ name, client, server }, { ends }] of played) {
          const accounts = expectedAccounts(ends, nameOf);
          expect([name, accountsOf(page, [client.name, server.name], accounts)]).toEqual([name, accounts]);
        }
        expect(auditedTotals(page)).toEqual(seriesTotals(page));
        for (const reporter of ['source', 'destination']) {
          const ofLoad = { reporter, source_workload: CLIENT.name, destination_workload: SERVER.name };
          expect([
            page.sum('istio_tcp_connections_opened_total', ofLoad),
            page.sum('istio_tcp_received_bytes_total', ofLoad),
            page.sum('istio_tcp_sent_bytes_total', ofLoad),
          ]).toEqual([connections, 11 * connections, 22 * connections]);
        }
      });
    });
  });
}

describeOnKernel('a queue in storage', () => {
  if (missing !== undefined) {
    test.skip(missing, () => undefined);
    return;
  }

  test.for(TRANSPORTS)('$id: what waits for the Collector survives SIGKILL of the agent', async ({ id, where }) => {
    const directory = mkdtempSync(join(tmpdir(), 'tcpledger-queue-'));
    const removeDirectory = undoLater(() => rmSync(directory, { recursive: true }));
    const storage = join(directory, 'storage');
    const ports = { http: await freePort(), grpc: await freePort() };
    const options: AgentOptions = {
      directory,
      workloads: [CLIENT, SERVER],
      exporters: {
        [id]: {
          signals: ['logs'],
          config: { ...where(ports), retry_on_failure: RETRY, sending_queue: { storage: 'file_storage' } },
        },
      },
      extensions: { file_storage: { directory: storage } },
    };
    const loopback = await loopbackNamespace();
    const ends = { address: SERVER.ips[0], source: CLIENT.ips[0], send: 11, reply: 22 };

    const first = await startAgent(options);
    await load(loopback, { ...ends, connections: 2000 });
    await eventually(() => expect(loggedIds(first)).toHaveLength(4000));
    // records are in the log file and in the queue in the same order: those of the load are in storage
    const lines = first.log().length;
    await eventually(() => expect(storedRecords(storage)).toBeGreaterThanOrEqual(lines));
    await first.kill();

    const second = await startAgent(options);
    await load(loopback, { ...ends, connections: 1000 });
    const collector = await startCollector({ like: { ports } });
    await eventually(() => {
      expect(loggedIds(second)).toHaveLength(6000);
      expect([...arrivals(collector).keys()].sort()).toEqual(loggedIds(second));
    });
    expect(second.stderr()).toMatch(/\d+ batches of an earlier run are in storage and are sent first/);

    // and nothing of it comes again: what was delivered has left the storage
    await eventually(() => expect([...arrivals(collector).values()].every((times) => times === 1)).toBe(true));
    expect(await second.stop()).toBe(0);
    expect(storedRecords(storage)).toBe(0);
    await collector.stop();
    loopback.remove();
    removeDirectory();
  });
});

/** Records in all journals: each has its id's key once. */
function storedRecords(directory: string): number {
  return readdirSync(directory)
    .map((name) => readFileSync(join(directory, name), 'latin1').split('tcpledger.connection.id').length - 1)
    .reduce((sum, count) => sum + count, 0);
}
