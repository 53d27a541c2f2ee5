/** Names come and go while connections are made: late ones are waited for, shared ones go to the better claim. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from './support/agent.ts';
import { eventually } from './support/eventually.ts';
import type { TestWorkload } from './support/identity-file.ts';
import { type Link, linkedNamespaces } from './support/namespace.ts';
import { Peer } from './support/peer.ts';
import type { Socket } from './support/socket.ts';
import { describeOnKernel } from './support/suite.ts';

const SERVER: TestWorkload = { name: 'server', ips: ['10.72.20.1'] };
const UNKNOWN = 'unknown';

describeOnKernel('names that come late, or are shared', () => {
  let agent: Agent;
  let link: Link;
  let client: Peer;
  let server: Peer;
  let listener: Socket;
  let port: number;

  beforeAll(async () => {
    agent = await startAgent({ workloads: [SERVER], identity: { resolve_timeout: '5s' } });
    link = await linkedNamespaces();
    client = await Peer.start(link.client);
    server = await Peer.start(link.server);
    listener = await server.socket(4);
    await listener.bind(SERVER.ips![0]!);
    port = await listener.listen();
  });

  afterAll(async () => {
    await client?.kill();
    await server?.kill();
    link?.remove();
    await agent?.kill();
  });

  async function connect(address: string): Promise<{ near: Socket; far: Socket }> {
    const near = await client.socket(4);
    await near.bind(address);
    await near.connect(SERVER.ips![0]!, port);
    return { near, far: await listener.accept() };
  }

  async function end({ near, far }: { near: Socket; far: Socket }): Promise<void> {
    await near.send(11);
    await far.receive(11);
    await near.close();
    await far.receiveRest();
    await far.close();
  }

  /** Connections opened by that name, and closed, as each reporter has them. */
  async function counted(name: string): Promise<number[]> {
    const page = await agent.scrape();
    return ['source', 'destination'].flatMap((reporter) => {
      const labels = { reporter, source_workload: name, destination_workload: 'server' };
      return [
        page.sum('istio_tcp_connections_opened_total', labels),
        page.sum('istio_tcp_connections_closed_total', labels),
      ];
    });
  }

  /** Waits until the agent has read the file: a new connection from an address of its own shows the name. */
  async function renamed(workloads: readonly TestWorkload[], marker: string, ip: string): Promise<void> {
    agent.rename([SERVER, ...workloads, { name: marker, ips: [ip] }]);
    await eventually(async () => {
      await end(await connect(ip));
      expect((await counted(marker))[0]).toBeGreaterThan(0);
    });
  }

  test('29: a workload told two seconds after its connection names it', async () => {
    const open = await connect('10.71.29.1');
    await delay(2_000); // the case says so: the name is late by that, and within resolve_timeout
    expect(await counted(UNKNOWN)).toEqual([0, 0, 0, 0]);
    agent.rename([SERVER, { name: 'late', ips: ['10.71.29.1'] }]);
    await end(open);
    await eventually(async () => expect(await counted('late')).toEqual([1, 1, 1, 1]));
    expect(await counted(UNKNOWN)).toEqual([0, 0, 0, 0]);
    const records = agent.log().filter(({ fields }) => fields['src.workload'] === 'late');
    expect(records.map(({ fields }) => fields.direction).sort()).toEqual(['inbound', 'outbound']);
  });

  test('29: one told after the time-out names later connections; the first stays unknown', async () => {
    const open = await connect('10.71.29.2');
    await eventually(async () => expect(await counted(UNKNOWN)).toEqual([1, 0, 1, 0]));
    await renamed([{ name: 'too-late', ips: ['10.71.29.2'] }], 'mark-1', '10.71.29.3');
    await end(open);
    await end(await connect('10.71.29.2'));
    await eventually(async () => expect(await counted('too-late')).toEqual([1, 1, 1, 1]));
  });

  test('22: of two with one address the pod; when it has gone the entry; then nobody', async () => {
    const address = '10.71.22.1';
    const pod: TestWorkload = { name: 'pod', ips: [address] };
    const entry: TestWorkload = {
      name: 'entry',
      uid: 'test/networking.istio.io/WorkloadEntry/ledger/entry',
      ips: [address],
    };
    const unknownBefore = (await counted(UNKNOWN))[0]!;
    await renamed([entry, pod], 'mark-2', '10.71.22.2');
    const underPod = await connect(address);
    await renamed([entry], 'mark-3', '10.71.22.3');
    const underEntry = await connect(address);
    await renamed([], 'mark-4', '10.71.22.4');
    const underNobody = await connect(address);
    // 23: each keeps the name it was opened under
    for (const connection of [underPod, underEntry, underNobody]) await end(connection);
    await eventually(async () => {
      expect(await counted('pod')).toEqual([1, 1, 1, 1]);
      expect(await counted('entry')).toEqual([1, 1, 1, 1]);
      expect((await counted(UNKNOWN))[0]! - unknownBefore).toBe(1);
    });
  });
});
