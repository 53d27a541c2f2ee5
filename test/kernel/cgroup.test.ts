/** Local ends named by their cgroup, where the address says nothing. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from './support/agent.ts';
import { type Cgroup, cgroupRoot, makeCgroup } from './support/cgroup.ts';
import { eventually } from './support/eventually.ts';
import { type PairOfPeers, pairOfPeers, SERVER } from './support/pair.ts';
import { describeOnKernel } from './support/suite.ts';

describeOnKernel('identity by cgroup', () => {
  let agent: Agent;
  let pair: PairOfPeers;
  const cgroups: Cgroup[] = [];

  beforeAll(async () => {
    cgroups.push(makeCgroup('first'), makeCgroup('second'));
    agent = await startAgent({
      workloads: [
        { name: 'first', cgroupPaths: [cgroups[0]!.path] },
        { name: 'second', cgroupPaths: [cgroups[1]!.path] },
        SERVER,
      ],
    });
    pair = await pairOfPeers();
  });

  afterAll(async () => {
    pair?.client.joinCgroup(cgroupRoot());
    await pair?.remove();
    await agent?.kill();
    for (const cgroup of cgroups) cgroup.remove();
  });

  const opened = async (workload: string): Promise<number> =>
    (await agent.scrape()).sum('istio_tcp_connections_opened_total', {
      reporter: 'source',
      source_workload: workload,
      destination_workload: 'server',
    });

  async function converse(): Promise<void> {
    const { client, server } = await pair.connect();
    await client.close();
    await server.receiveRest();
    await server.close();
  }

  test('a socket belongs to the cgroup in which it was made', async () => {
    pair.client.joinCgroup(cgroups[0]!.directory);
    await converse();
    await converse();
    pair.client.joinCgroup(cgroups[1]!.directory);
    await converse();
    await eventually(async () => {
      expect(await opened('first')).toBe(2);
      expect(await opened('second')).toBe(1);
    });
  });

  test('also when its process goes to another before it connects', async () => {
    pair.client.joinCgroup(cgroups[0]!.directory);
    const socket = await pair.client.socket(4);
    pair.client.joinCgroup(cgroups[1]!.directory);
    await socket.connect(SERVER.ips[0], pair.port);
    await socket.close();
    await eventually(async () => {
      expect(await opened('first')).toBe(3);
      expect(await opened('second')).toBe(1);
    });
  });
});
