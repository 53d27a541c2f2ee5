/** The running agent sends to a real Collector: all that the peers know, once, whoever of the two goes away meanwhile. */
import { mkdtempSync, rmSync } from 'node:fs';
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
import { type Agent, startAgent } from '../kernel/support/agent.ts';
import { undoLater } from '../kernel/support/cleanup.ts';
import { eventually } from '../kernel/support/eventually.ts';
import { load } from '../kernel/support/load.ts';
import { loopbackNamespace, type Namespace } from '../kernel/support/namespace.ts';
import type { ReceivedRecord } from '../kernel/support/otlp-logs.ts';
import { describeOnKernel } from '../kernel/support/suite.ts';
import { type Collector, collectorMissing, startCollector } from '../peers/collector.ts';
import { pageOfRequests, recordsOfRequests } from './support/otlp-json.ts';
import { arrivals, CLIENT, loggedIds, RETRY, SERVER, TRANSPORTS } from './support/transports.ts';

const CASES = casesOf([...ENDINGS, ...RESETS, ...FAILURES]);
const HOSTS = new Map(CASES.flatMap(({ client, server }) => [client, server]).map((w) => [w.ips![0]!, w.name]));
const nameOf = (host: string): string => HOSTS.get(host) ?? 'unknown';

const isOfCases = ({ attributes }: ReceivedRecord): boolean =>
  HOSTS.has(String(attributes['source.address'])) || HOSTS.has(String(attributes['destination.address']));

const missing = collectorMissing();

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
        const received = recordsOfRequests(collector.received('logs')).filter(isOfCases);
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
