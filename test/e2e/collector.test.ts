/**
 * The running agent sends to a real Collector: all that the peers know, once, whoever of the two goes away meanwhile.
 * An agent and a Collector for each transport, side by side: both agents see the same connections, which are played once.
 */
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
import { type Agent, NAMES_KNOWN, startAgent } from '../kernel/support/agent.ts';
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

/** A transport's own. Its Collector goes and comes, in one folder. */
interface Side {
  readonly id: string;
  readonly agent: Agent;
  readonly folder: string;
  readonly removeFolder: () => void;
  collector: Collector;
}

describeOnKernel('Collectors behind otlp_http and otlp_grpc', () => {
  if (missing !== undefined) {
    test.skip(missing, () => undefined);
    return;
  }
  const sides: Side[] = [];
  let loopback: Namespace;
  let played: ReadonlyMap<Case, Played>;
  let connections = 0;

  beforeAll(async () => {
    loopback = await loopbackNamespace();
    for (const { id, where } of TRANSPORTS) {
      const folder = mkdtempSync(join(tmpdir(), 'tcpledger-collected-'));
      const removeFolder = undoLater(() => rmSync(folder, { recursive: true }));
      const collector = await startCollector({ folder });
      const agent = await startAgent({
        workloads: [...CASES.flatMap(({ client, server }) => [client, server]), CLIENT, SERVER],
        identity: NAMES_KNOWN,
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
      sides.push({ id, agent, folder, removeFolder, collector });
    }
    played = await playAll(CASES);
  }, 1_200_000);

  afterAll(async () => {
    for (const { agent, collector, removeFolder } of sides) {
      await agent.kill();
      await collector.stop();
      removeFolder();
    }
    loopback?.remove();
  });

  const atBoth = <T>(act: (side: Side) => Promise<T>): Promise<T[]> => Promise.all(sides.map(act));

  async function someLoad(count: number): Promise<void> {
    const ends = { address: SERVER.ips[0], source: CLIENT.ips[0] };
    await load(loopback, { ...ends, connections: count, send: 11, reply: 22 });
    connections += count;
  }

  /** Every record of the load is there: at both ends, as the log file has them. */
  async function allArrived(side: Side): Promise<void> {
    await eventually(() => {
      expect(loggedIds(side.agent)).toHaveLength(2 * connections);
      expect([...arrivals(side.collector).keys()].sort()).toEqual(loggedIds(side.agent));
    });
  }

  const twice = ({ collector }: Side): string[] =>
    [...arrivals(collector)].filter(([, times]) => times > 1).map(([key]) => key);

  const restarted = async (side: Side): Promise<void> => {
    side.collector = await startCollector({ like: side.collector, folder: side.folder });
  };

  test('they have every record once, equal to the ledgers of the peers', async () => {
    for (const { id, collector } of sides) {
      const records = await eventually(() => {
        const received = recordsOfRequests(collector.received('logs')).filter(isOfCases);
        for (const [{ name, client, server }, { ends, error }] of played) {
          expect([id, name, error]).toEqual([id, name, undefined]);
          const expected = expectedRecords(ends, true);
          const hosts = new Set([...client.ips!, ...server.ips!]);
          expect([id, name, recordsOf(received, hosts, expected)]).toEqual([id, name, expected]);
        }
        return received;
      });
      const ids = records.map(({ attributes }) => attributes['tcpledger.connection.id']);
      expect([id, ids.length]).toEqual([id, new Set(ids).size]);
    }
  });

  test('they were away: what happened meanwhile comes when they are back, once', async () => {
    await someLoad(500);
    await atBoth(allArrived);
    await atBoth(({ collector }) => collector.stop());
    await someLoad(3000);
    await atBoth(({ agent }) =>
      eventually(() => expect(agent.stderr()).toMatch(/sending logs to .* failed: .*; trying again/)),
    );
    await atBoth(restarted);
    await atBoth(allArrived);
    for (const side of sides) {
      expect([side.id, twice(side)]).toEqual([side.id, []]);
      const page = await side.agent.scrape();
      const lost = ['failed', 'dropped'].map((fate) =>
        page.sum(`tcpledger_export_${fate}_records_total`, { signal: 'logs' }),
      );
      expect([side.id, lost]).toEqual([side.id, [0, 0]]);
    }
  });

  test('they go and come under load: nothing is lost, and what came twice is told by its id', async () => {
    let changing = true;
    const traffic = (async () => {
      while (changing) await someLoad(1000);
    })();
    await atBoth(async (side) => {
      for (let round = 0; round < 3; round++) {
        const before = arrivals(side.collector).size;
        await eventually(() => expect(arrivals(side.collector).size).toBeGreaterThan(before));
        await side.collector.stop();
        await restarted(side);
      }
    });
    changing = false;
    await traffic;
    await atBoth(allArrived);
    for (const { id, agent, collector } of sides) {
      const times = [...arrivals(collector).values()].reduce((sum, each) => sum + each, 0);
      const { sent, lost } = await eventually(async () => {
        const page = await agent.scrape();
        expect([id, page.sum('tcpledger_export_queue_size')]).toEqual([id, 0]);
        return {
          sent: page.sum('tcpledger_export_sent_records_total', { signal: 'logs' }),
          lost: page.sum('tcpledger_export_failed_records_total') + page.sum('tcpledger_export_dropped_records_total'),
        };
      });
      expect([id, lost]).toEqual([id, 0]);
      expect(sent, id).toBeGreaterThanOrEqual(2 * connections);
      expect(times, id).toBeGreaterThanOrEqual(2 * connections);
    }
  });

  test('they have every series, equal to the ledgers of the peers', async () => {
    expect(await atBoth(({ agent }) => agent.stop())).toEqual([0, 0]);
    for (const { id, collector } of sides) {
      await eventually(() => {
        const page = pageOfRequests(collector.received('metrics'));
        for (const [{ name, client, server }, { ends }] of played) {
          const accounts = expectedAccounts(ends, nameOf);
          const found = accountsOf(page, [client.name, server.name], accounts);
          expect([id, name, found]).toEqual([id, name, accounts]);
        }
        expect([id, auditedTotals(page)]).toEqual([id, seriesTotals(page)]);
        for (const reporter of ['source', 'destination']) {
          const ofLoad = { reporter, source_workload: CLIENT.name, destination_workload: SERVER.name };
          expect([
            id,
            page.sum('istio_tcp_connections_opened_total', ofLoad),
            page.sum('istio_tcp_received_bytes_total', ofLoad),
            page.sum('istio_tcp_sent_bytes_total', ofLoad),
          ]).toEqual([id, connections, 11 * connections, 22 * connections]);
        }
      });
    }
  });
});
