/** Far fewer slots than pairs: only attribution is lost, what is lost is counted, and nothing else changes. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { auditedTotals, seriesTotals } from './support/account.ts';
import { type Agent, startAgent } from './support/agent.ts';
import { eventually } from './support/eventually.ts';
import { type LoadResult, load } from './support/load.ts';
import { loopbackNamespace, type Namespace } from './support/namespace.ts';
import { describeOnKernel } from './support/suite.ts';

/** Byte counts that nobody else's connections have: the log's records of ours are known by them, named or not. */
const SEND = 12_347;
const REPLY = 7_919;

describeOnKernel('a minimal number of slots under full load', () => {
  let agent: Agent;
  let namespace: Namespace;
  let result: LoadResult;

  beforeAll(async () => {
    agent = await startAgent({ receiver: { max_pairs: 16 } });
    namespace = await loopbackNamespace();
    result = await load(namespace, {
      address: '10.73.100.1',
      source: '10.73.110.0',
      sources: 2000,
      connections: 20_000,
      send: SEND,
      reply: REPLY,
    });
  }, 300_000);

  afterAll(async () => {
    await agent?.kill();
    namespace?.remove();
  });

  test('every connection is in the log, at both ends, to the byte', async () => {
    await eventually(() => {
      const ours = agent
        .log()
        .map(({ fields }) => [fields.direction, fields.bytes_sent, fields.bytes_recv].join())
        .filter((key) => key === `outbound,${SEND},${REPLY}` || key === `inbound,${REPLY},${SEND}`);
      expect(ours.filter((key) => key.startsWith('outbound'))).toHaveLength(result.connections);
      expect(ours).toHaveLength(2 * result.connections);
    });
  });

  test('and in the totals: as many connections and bytes as the log has', async () => {
    await eventually(async () => {
      const page = await agent.scrape();
      const closes = agent.log().filter(({ level }) => level === 'info');
      const bytes = (field: string): number => closes.reduce((sum, { fields }) => sum + Number(fields[field]), 0);
      const totals = auditedTotals(page);
      expect(totals.closed).toBe(closes.length);
      // the scrape's own connection is open: its request may be counted already
      const open = { sent: totals.sent - bytes('bytes_sent'), received: totals.received - bytes('bytes_recv') };
      expect([0, agent.requestBytes()]).toContain(open.sent);
      expect([0, agent.requestBytes()]).toContain(open.received);
    });
  });

  test('the series, coarse and unattributed ones included, add up to the totals', async () => {
    await eventually(async () => {
      const page = await agent.scrape();
      expect(auditedTotals(page)).toEqual(seriesTotals(page));
    });
  });

  test('connections without a slot of their own are counted', async () => {
    const page = await agent.scrape();
    expect(page.sum('tcpledger_pair_overflow_total', { kind: 'coarse' })).toBeGreaterThan(0);
    expect(page.sum('tcpledger_pair_overflow_total', { kind: 'unattributed' })).toBeGreaterThan(0);
  });
});
