/**
 * The package in another program, beside the agent, on the same connections: stock instruments and log records say what
 * the agent's own series table and encoders say. Each has a kernel half of its own, so nothing is shared but the sockets.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { casesOf, playAll } from '../kernel/scenarios/cases.ts';
import { ENDINGS } from '../kernel/scenarios/endings.ts';
import { FAILURES } from '../kernel/scenarios/failures.ts';
import { RESETS } from '../kernel/scenarios/resets.ts';
import { TRANSFERS } from '../kernel/scenarios/transfers.ts';
import { accountsOf, expectedAccounts, expectedRecords, recordsOf } from '../kernel/support/account.ts';
import { type Agent, NAMES_KNOWN, startAgent } from '../kernel/support/agent.ts';
import { eventually } from '../kernel/support/eventually.ts';
import { type OtlpCollector, otlpCollector } from '../kernel/support/otlp-logs.ts';
import type { Page } from '../kernel/support/prometheus-text.ts';
import { describeOnKernel } from '../kernel/support/suite.ts';
import { type Embedder, startEmbedder } from './support/embedder.ts';

const CASES = casesOf([...ENDINGS, ...RESETS, ...FAILURES, ...TRANSFERS]);
const WORKLOADS = CASES.flatMap(({ client, server }) => [client, server]);
const HOSTS = new Map(WORKLOADS.map(({ name, ips }) => [ips![0]!, name]));
const NAMES = new Set(HOSTS.values());
const nameOf = (host: string): string => HOSTS.get(host) ?? 'unknown';

/** What each kernel half takes from its own clock, at its own run. */
const CLOCKED = ['tcp_connection_duration_seconds', 'tcp_connect_duration_seconds'];
const CLOCKED_ATTRIBUTES = ['duration', 'tcpledger.duration', 'tcpledger.connect.duration', 'tcpledger.connection.id'];

interface LogRecord {
  readonly eventName: string;
  readonly severityNumber: number;
  readonly body: string;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
}

const ours = ({ attributes }: LogRecord): boolean =>
  HOSTS.has(String(attributes['source.address'])) || HOSTS.has(String(attributes['destination.address']));

/** `direction client server`, with an end's place among those of the same addresses and ports. */
function byFlow(records: readonly LogRecord[]): Map<string, LogRecord> {
  const found = new Map<string, LogRecord>();
  for (const record of records.filter(ours)) {
    const { direction, ...at } = record.attributes;
    const flow = `${direction} ${at['source.address']}:${at['source.port']} ${at['destination.address']}:${at['destination.port']}`;
    let nth = 1;
    while (found.has(`${flow} ${nth}`)) nth++;
    found.set(`${flow} ${nth}`, record);
  }
  return found;
}

/** Series of the test's workloads in which `wanted` says so, by name and labels. */
function series(page: Page, wanted: (name: string) => boolean): Map<string, number> {
  const found = new Map<string, number>();
  for (const { name, labels, value } of page.samples) {
    if (!NAMES.has(labels.source_workload ?? '') && !NAMES.has(labels.destination_workload ?? '')) continue;
    if (wanted(name)) found.set(JSON.stringify([name, Object.entries(labels).sort()]), value);
  }
  return found;
}

const isClocked = (name: string): boolean => CLOCKED.some((family) => name.startsWith(family));
const isSumOfTimes = (name: string): boolean => name.endsWith('_seconds_sum');

describeOnKernel('the package, embedded, beside the agent', () => {
  let collector: OtlpCollector;
  let agent: Agent;
  let embedder: Embedder;
  let agentPage: Page;
  let embedderPage: Page;

  beforeAll(async () => {
    collector = await otlpCollector();
    agent = await startAgent({ workloads: WORKLOADS, identity: NAMES_KNOWN, logsTo: collector.endpoint });
    embedder = await startEmbedder({
      receiver: { settle_interval: '200ms' },
      identity: { sources: ['file'], file: { path: agent.identityFile }, ...NAMES_KNOWN },
    });
    const played = await playAll(CASES);
    expect([...played.values()].filter(({ error }) => error !== undefined)).toEqual([]);
    // until both have told all of it; what they never tell is for the tests below to name
    await eventually(async () => {
      agentPage = await agent.scrape();
      embedderPage = await embedder.page();
      const received = collector.records.filter(ours);
      const emitted = embedder
        .records()
        .filter(ours)
        .map((record) => ({ ...record, timeUnixNano: 0n }));
      for (const [{ client, server }, { ends }] of played) {
        const hosts = new Set([...client.ips!, ...server.ips!]);
        const accounts = expectedAccounts(ends, nameOf);
        for (const page of [agentPage, embedderPage]) {
          expect(accountsOf(page, [client.name, server.name], accounts)).toEqual(accounts);
        }
        const records = expectedRecords(ends, true);
        expect(recordsOf(received, hosts, records)).toEqual(records);
        expect(recordsOf(emitted, hosts, records)).toEqual(records);
      }
    }, 30).catch(() => undefined);
  }, 1_200_000);

  afterAll(async () => {
    await embedder?.kill();
    await agent?.kill();
    await collector?.close();
  });

  test('the same series, the same numbers', () => {
    const plain = (name: string): boolean => !isClocked(name) && !isSumOfTimes(name);
    const expected = series(agentPage, plain);
    expect(expected.size).toBeGreaterThan(20 * CASES.length);
    expect(series(embedderPage, plain)).toEqual(expected);
  });

  test('the same sums of round-trip times, to the rounding of doubles', () => {
    const sums = (name: string): boolean => isSumOfTimes(name) && !isClocked(name);
    const expected = series(agentPage, sums);
    const found = series(embedderPage, sums);
    expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [key, value] of expected) expect(found.get(key)).toBeCloseTo(value, 9);
  });

  test('the same records', () => {
    const told = ({ eventName, severityNumber, body, attributes }: LogRecord) => ({
      eventName,
      severityNumber,
      body,
      attributes: Object.fromEntries(Object.entries(attributes).filter(([key]) => !CLOCKED_ATTRIBUTES.includes(key))),
    });
    const expected = byFlow(collector.records);
    const found = byFlow(embedder.records());
    expect(expected.size).toBeGreaterThan(2 * CASES.length);
    expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [flow, record] of expected) {
      expect([flow, told(found.get(flow)!)]).toEqual([flow, told(record)]);
      for (const key of CLOCKED_ATTRIBUTES) {
        expect([flow, key, typeof found.get(flow)!.attributes[key]]).toEqual([
          flow,
          key,
          typeof record.attributes[key],
        ]);
      }
    }
  });

  test.for([
    ['the agent', () => [agentPage, collector.records]],
    ['the program', () => [embedderPage, embedder.records()]],
  ] as const)('the durations on the page of %s are those of its records', ([, sides]) => {
    const [page, records] = sides() as [Page, readonly LogRecord[]];
    const durations = [...byFlow(records).values()]
      .filter(({ eventName }) => eventName.endsWith('.close'))
      .map(({ attributes }) => attributes['tcpledger.duration'] as number);
    const family = CLOCKED[0]!;
    const bounds = new Map<string, number>();
    for (const { labels, value } of page.select(`${family}_bucket`)) {
      if (!NAMES.has(labels.source_workload!) && !NAMES.has(labels.destination_workload!)) continue;
      bounds.set(labels.le!, (bounds.get(labels.le!) ?? 0) + value);
    }
    expect(bounds.size).toBeGreaterThan(5);
    for (const [le, count] of bounds) {
      const limit = Number(le.replace('Inf', 'Infinity'));
      expect([le, count]).toEqual([le, durations.filter((duration) => duration <= limit).length]);
    }
    const sum = [...series(page, (name) => name === `${family}_sum`).values()].reduce((a, b) => a + b, 0);
    expect(sum).toBeCloseTo(
      durations.reduce((a, b) => a + b, 0),
      5,
    );
  });

  test('it ends by itself when its ledger has stopped', async () => {
    expect(await embedder.stop()).toBe(0);
  });
});
