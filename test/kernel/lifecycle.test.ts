/** What the agent leaves behind when it stops, and what it finds again when it was killed. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { type Agent, startAgent } from './support/agent.ts';
import { ownBpffs } from './support/bpffs.ts';
import { eventually } from './support/eventually.ts';
import { kernelObjects, nothingIsLeft } from './support/leftovers.ts';
import { load } from './support/load.ts';
import { CLIENT, pairOfPeers, SERVER } from './support/pair.ts';
import { describeOnKernel } from './support/suite.ts';

describeOnKernel('start, stop, kill and start again', () => {
  const agents: Agent[] = [];

  afterEach(async () => {
    for (const agent of agents.splice(0)) if (existsSync(`/proc/${agent.pid}`)) await agent.kill();
  });

  async function started(options: Parameters<typeof startAgent>[0]): Promise<Agent> {
    const agent = await startAgent(options);
    agents.push(agent);
    return agent;
  }

  test('kernel objects are gone after the exit, which is 0, and the log has all records', async () => {
    const before = await kernelObjects();
    const agent = await started({ workloads: [CLIENT, SERVER] });
    expect((await kernelObjects()).programs.length).toBeGreaterThan(before.programs.length);
    const pair = await pairOfPeers();
    const { client, server } = await pair.connect();
    await client.send(5);
    await server.receive(5);
    const { local } = await client.close();
    await server.receiveRest();
    await server.close();
    // at once: what is still on its way must be drained, not lost
    expect(await agent.stop()).toBe(0);
    const lines = agent.log().filter(({ fields }) => fields['src.addr'] === local);
    expect(lines.map(({ fields }) => fields.direction).sort()).toEqual(['inbound', 'outbound']);
    await pair.remove();
    await nothingIsLeft(before);
  });

  test('kernel objects are gone after SIGKILL', async () => {
    const before = await kernelObjects();
    const agent = await started({});
    await agent.kill();
    await nothingIsLeft(before);
  });

  test('killed with pinned maps: counting goes on, and the next agent tells all of it', async () => {
    const before = await kernelObjects();
    const bpffs = ownBpffs();
    const options = { workloads: [CLIENT, SERVER], receiver: { pin_path: join(bpffs.directory, 'tcpledger') } };
    const first = await started(options);
    const pair = await pairOfPeers();
    const spanning = await pair.connect();
    await spanning.client.send(1000);
    await spanning.server.receive(1000);
    const local = { address: CLIENT.ips[0], source: CLIENT.ips[0], connections: 5000, send: 11, reply: 22 };
    const account = async (agent: Agent, source: string, destination: string, reporter: string): Promise<number[]> => {
      const page = await agent.scrape();
      const labels = { reporter, source_workload: source, destination_workload: destination };
      return [
        'istio_tcp_connections_opened_total',
        'istio_tcp_connections_closed_total',
        'istio_tcp_received_bytes_total',
        'istio_tcp_sent_bytes_total',
      ].map((name) => page.sum(name, labels));
    };
    await load(pair.link.client, local);
    await eventually(async () => {
      expect(await account(first, 'client', 'client', 'source')).toEqual([5000, 5000, 55_000, 110_000]);
    });

    await first.kill();
    await load(pair.link.client, local);
    await spanning.server.send(2000);
    await spanning.client.receive(2000);
    const whileAway = await pair.connect();
    await whileAway.client.send(300);
    await whileAway.server.receive(300);
    await whileAway.client.close();
    await whileAway.server.receiveRest();
    await whileAway.server.close();

    const second = await started(options);
    await load(pair.link.client, local);
    await spanning.client.close();
    await spanning.server.receiveRest();
    await spanning.server.close();
    for (const reporter of ['source', 'destination']) {
      await eventually(async () => {
        expect(await account(second, 'client', 'client', reporter)).toEqual([15_000, 15_000, 165_000, 330_000]);
        expect(await account(second, 'client', 'server', reporter)).toEqual([2, 2, 1300, 2000]);
      });
    }

    await expect(startAgent(options)).rejects.toThrow(/ended with 1[\s\S]*pin/);
    expect(await second.stop()).toBe(0);
    await pair.remove();
    bpffs.remove();
    await nothingIsLeft(before);
  }, 300_000);
});
