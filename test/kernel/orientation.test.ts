/** The trap that everyone falls into: who calls what sent and received. The client sends 11 bytes, the server answers 22. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from './support/agent.ts';
import { eventually } from './support/eventually.ts';
import { CLIENT, type PairOfPeers, pairOfPeers, SERVER } from './support/pair.ts';
import { describeOnKernel } from './support/suite.ts';

describeOnKernel('11 bytes there, 22 back', () => {
  let agent: Agent;
  let pair: PairOfPeers;

  beforeAll(async () => {
    agent = await startAgent({ workloads: [CLIENT, SERVER] });
    pair = await pairOfPeers();
    const { client, server } = await pair.connect();
    await client.send(11);
    await server.receive(11);
    await server.send(22);
    await client.receive(22);
    await client.close();
    await server.receiveRest();
    await server.close();
  });

  afterAll(async () => {
    await pair?.remove();
    await agent?.kill();
  });

  test.for([
    { reporter: 'source', direction: 'outbound', logSent: 11, logReceived: 22 },
    { reporter: 'destination', direction: 'inbound', logSent: 22, logReceived: 11 },
  ])('as $reporter tells it', async ({ reporter, direction, logSent, logReceived }) => {
    const labels = { reporter, source_workload: 'client', destination_workload: 'server', response_flags: '-' };
    await eventually(async () => {
      const page = await agent.scrape();
      expect(page.select('istio_tcp_sent_bytes_total', labels).map(({ value }) => value)).toEqual([22]);
      expect(page.select('istio_tcp_received_bytes_total', labels).map(({ value }) => value)).toEqual([11]);
      const lines = agent.log().filter(({ fields }) => fields['src.workload'] === 'client');
      expect(
        lines
          .filter(({ fields }) => fields.direction === direction)
          .map(({ fields }) => [fields.bytes_sent, fields.bytes_recv]),
      ).toEqual([[logSent, logReceived]]);
    });
  });

  test('but for the reporter the labels of the two ends are identical', async () => {
    const page = await agent.scrape();
    const sets = page
      .select('istio_tcp_connections_opened_total', { source_workload: 'client', destination_workload: 'server' })
      .map(({ labels: { reporter, ...rest } }) => {
        expect(['source', 'destination']).toContain(reporter);
        return rest;
      });
    expect(sets).toHaveLength(2);
    expect(sets[0]).toEqual(sets[1]);
  });
});
