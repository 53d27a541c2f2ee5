/**
 * Every kind of connection, thousands of them, against one running agent: series, log records, log lines and totals
 * are what the applications know that they exchanged, to the byte and to the connection.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Role } from '../../src/receiver/types.ts';
import { type Case, casesOf, type Played, playAll } from './scenarios/cases.ts';
import { SCENARIOS } from './scenarios.ts';
import {
  accountsOf,
  auditedTotals,
  expectedAccounts,
  expectedRecords,
  linesOf,
  recordsOf,
  seriesTotals,
} from './support/account.ts';
import { type Agent, NAMES_KNOWN, startAgent } from './support/agent.ts';
import { eventually } from './support/eventually.ts';
import { type OtlpCollector, otlpCollector } from './support/otlp-logs.ts';
import type { Page } from './support/prometheus-text.ts';
import { describeOnKernel } from './support/suite.ts';

const CASES = casesOf(SCENARIOS);
const HOSTS = new Map(CASES.flatMap(({ client, server }) => [client, server]).map((w) => [w.ips![0]!, w.name]));

const nameOf = (host: string): string => HOSTS.get(host) ?? 'unknown';
const hostsOf = ({ client, server }: Case): ReadonlySet<string> => new Set([...client.ips!, ...server.ips!]);
const namesOf = ({ client, server }: Case): string[] => [client.name, server.name];

describeOnKernel('connections of every kind', () => {
  let agent: Agent;
  let collector: OtlpCollector;
  let played: ReadonlyMap<Case, Played>;
  let page: Page;

  beforeAll(async () => {
    collector = await otlpCollector();
    agent = await startAgent({
      workloads: CASES.flatMap(({ client, server }) => [client, server]),
      identity: NAMES_KNOWN,
      logsTo: collector.endpoint,
    });
    played = await playAll(CASES);
    // until all of it has arrived; what never does is for the tests below to name
    await eventually(async () => {
      page = await agent.scrape();
      for (const testCase of CASES) compareSeries(testCase);
      for (const testCase of CASES) compareRecords(testCase);
    }, 30).catch(() => undefined);
  }, 1_200_000);

  afterAll(async () => {
    await agent?.kill();
    await collector?.close();
  });

  function compareSeries(testCase: Case): void {
    const expected = expectedAccounts(played.get(testCase)!.ends, nameOf);
    expect(accountsOf(page, namesOf(testCase), expected)).toEqual(expected);
  }

  function compareRecords(testCase: Case): void {
    const expected = expectedRecords(played.get(testCase)!.ends, true);
    expect(recordsOf(collector.records, hostsOf(testCase), expected)).toEqual(expected);
  }

  for (const testCase of CASES) {
    test(testCase.name, ({ skip }) => {
      const { ends, missing, error } = played.get(testCase)!;
      if (missing !== undefined) skip(missing);
      if (error !== undefined) throw error;
      compareSeries(testCase);
      compareRecords(testCase);
      expect(linesOf(agent.log(), hostsOf(testCase))).toEqual(expectedRecords(ends, false));
    });
  }

  test("the oracle's own two sides agree wherever both ends ended normally", () => {
    for (const [{ name }, { ends }] of played) {
      const sum = (reporter: Role, field: 'sent' | 'received'): number =>
        ends.filter((end) => end.reporter === reporter).reduce((total, end) => total + end[field], 0);
      const sides = new Set(ends.map(({ reporter }) => reporter));
      if (sides.size < 2 || ends.some(({ event, reason }) => event !== 'close' || reason !== 'normal')) continue;
      expect([name, sum('source', 'sent')]).toEqual([name, sum('destination', 'received')]);
      expect([name, sum('destination', 'sent')]).toEqual([name, sum('source', 'received')]);
    }
  });

  test("the oracle agrees with the kernel's own counters, where a socket has them", () => {
    for (const [{ name }, { ends }] of played) {
      for (const { sent, received, event, reason, report } of ends) {
        if (report.kernelSent === undefined || report.kernelReceived === undefined) continue;
        // an ordinary close sends what waits; the kernel counts a FIN as a received byte
        const left = event === 'close' && reason === 'normal' ? report.unsent : 0;
        // and a segment that is sent again as sent again whether it could be sent or not
        if (report.retransmitted === 0) expect([name, sent]).toEqual([name, report.kernelSent + left]);
        expect([name, [0, 1]]).toEqual([name, expect.arrayContaining([report.kernelReceived - received])]);
      }
    }
  });

  test('they were at least 2,000 connections', () => {
    const opened = [...played.values()].flatMap(({ ends }) => ends).filter(({ reporter }) => reporter === 'source');
    expect(opened.length).toBeGreaterThanOrEqual(2000);
  });

  test('no record came twice', () => {
    const ids = collector.records.map(({ attributes }) => attributes['tcpledger.connection.id']);
    expect(ids.length).toBe(new Set(ids).size);
  });

  test('the audit line is the sum of all series, whoever else had connections', async () => {
    await eventually(async () => {
      const now = await agent.scrape();
      expect(auditedTotals(now)).toEqual(seriesTotals(now));
    }, 20);
  });

  test('the kernel half met no errors and lost no record', async () => {
    const now = await agent.scrape();
    expect(now.select('tcpledger_kernel_errors_total').filter(({ value }) => value !== 0)).toEqual([]);
    expect(now.sum('tcpledger_access_log_dropped_total')).toBe(0);
    expect(now.sum('tcpledger_pair_overflow_total')).toBe(0);
  });
});
