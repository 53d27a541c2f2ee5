/**
 * Pods whose processes run in real containers, named by the UID in their cgroups' names. The identity file tells no
 * addresses of them but the host's, so nothing else could name them; a remote end is the local end of its own view.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from './support/agent.ts';
import { cgroupRoot } from './support/cgroup.ts';
import { type CgroupDriver, type Container, type ContainerNode, containerNode, isHybrid } from './support/container.ts';
import { eventually } from './support/eventually.ts';
import { type KernelObjects, kernelObjects, nothingIsLeft } from './support/leftovers.ts';
import { type Link, linkedNamespaces, type Namespace } from './support/namespace.ts';
import { type OtlpCollector, otlpCollector } from './support/otlp-logs.ts';
import { Peer } from './support/peer.ts';
import { describeOnKernel } from './support/suite.ts';

const CLIENT = { name: 'client', podUids: ['0a1b2c3d-0001-4000-8000-00000000000a'] };
const SERVER = { name: 'server', podUids: ['0a1b2c3d-0002-4000-8000-00000000000b'] };
const AGENT = {
  name: 'node-agent',
  podUids: ['0a1b2c3d-0003-4000-8000-00000000000c'],
  hostNetwork: true,
  ips: ['127.0.0.1'],
};
/** A static pod: its cgroups are called by the hash of its manifest, the cluster calls it by another UID. */
const APISERVER = {
  name: 'apiserver',
  podUids: ['0a1b2c3d-0004-4000-8000-00000000000d', '0123456789abcdef0123456789abcdef'],
  hostNetwork: true,
  ips: ['127.0.0.1'],
};

describeOnKernel('pods in containers', () => {
  let agent: Agent;
  let collector: OtlpCollector;
  let link: Link;
  let node: ContainerNode;
  let before: KernelObjects;
  const containers = new Set<Container>();

  beforeAll(async () => {
    before = await kernelObjects();
    collector = await otlpCollector();
    agent = await startAgent({
      workloads: [CLIENT, SERVER, AGENT, APISERVER],
      logsTo: collector.endpoint,
      logOutput: '/dev/null',
    });
    link = await linkedNamespaces();
    node = containerNode();
  });

  afterAll(async () => {
    for (const container of containers) await container.remove();
    node?.remove();
    link?.remove();
    await agent?.kill();
    await collector?.close();
  });

  async function start(podUid: string, driver: CgroupDriver, network?: Namespace): Promise<Container> {
    const container = await node.start({ podUid, driver, ...(network && { network }) });
    containers.add(container);
    return container;
  }

  async function stop(container: Container): Promise<void> {
    containers.delete(container);
    await container.remove();
  }

  /** 11 bytes there, 22 back. Resolves to the server's port. */
  async function converse(client: Peer, server: Peer, address: string): Promise<number> {
    const listener = await server.socket(4);
    await listener.bind(address);
    const port = await listener.listen();
    const near = await client.socket(4);
    await near.connect(address, port);
    const far = await listener.accept();
    await near.send(11);
    await far.receive(11);
    await far.send(22);
    await near.receive(22);
    await near.close();
    await far.receiveRest();
    await far.close();
    await listener.close();
    return port;
  }

  /** The local end of both records of the connection to that port, once they have come. */
  async function localEnds(port: number): Promise<unknown[]> {
    return eventually(() => {
      const records = collector.records.filter(({ attributes }) => attributes['destination.port'] === port);
      expect(records).toHaveLength(2);
      return ['outbound', 'inbound'].map((direction) => {
        const { attributes } = records.find((record) => record.attributes.direction === direction)!;
        return [attributes['k8s.pod.name'], attributes['k8s.pod.uid'], attributes['container.id']];
      });
    });
  }

  /** What each reporter has counted between the two. */
  const counted = async (source: string, destination: string): Promise<unknown[]> => {
    const page = await agent.scrape();
    return ['source', 'destination'].map((reporter) => {
      const labels = { reporter, source_workload: source, destination_workload: destination };
      return [
        page.sum('istio_tcp_connections_opened_total', labels),
        page.sum('istio_tcp_connections_closed_total', labels),
        page.sum('istio_tcp_received_bytes_total', labels),
        page.sum('istio_tcp_sent_bytes_total', labels),
      ];
    });
  };

  test('both drivers: at both ends the pod, and in the log its container', async () => {
    const client = await start(CLIENT.podUids[0]!, 'cgroupfs', link.client);
    const server = await start(SERVER.podUids[0]!, 'systemd', link.server);
    const port = await converse(client.peer, server.peer, '10.72.1.1');
    expect(await localEnds(port)).toEqual([
      ['client', CLIENT.podUids[0], client.id],
      ['server', SERVER.podUids[0], server.id],
    ]);
    const once = [1, 1, 11, 22];
    await eventually(async () => expect(await counted('client', 'server')).toEqual([once, once]));
  });

  test('a container that is started again has another cgroup and the same pod', async () => {
    const client = [...containers].find(({ cgroupPath }) => cgroupPath.includes(CLIENT.podUids[0]!))!;
    const server = [...containers].find((container) => container !== client)!;
    await stop(client);
    const again = await start(CLIENT.podUids[0]!, 'cgroupfs', link.client);
    const port = await converse(again.peer, server.peer, '10.72.1.1');
    expect(again.id).not.toBe(client.id);
    expect(await localEnds(port)).toEqual([
      ['client', CLIENT.podUids[0], again.id],
      ['server', SERVER.podUids[0], server.id],
    ]);
    const twice = [2, 2, 22, 44];
    await eventually(async () => expect(await counted('client', 'server')).toEqual([twice, twice]));
    await stop(again);
    await stop(server);
  });

  test('in the host’s network, which they share: each is told by its cgroup, a static pod by its hash', async () => {
    const nodeAgent = await start(AGENT.podUids[0]!, 'systemd');
    const apiserver = await start(APISERVER.podUids[1]!, 'cgroupfs');
    const port = await converse(nodeAgent.peer, apiserver.peer, '127.0.0.1');
    expect(await localEnds(port)).toEqual([
      ['node-agent', AGENT.podUids[0], nodeAgent.id],
      ['apiserver', APISERVER.podUids[0], apiserver.id],
    ]);
    const once = [1, 1, 11, 22];
    await eventually(async () => expect(await counted('node-agent', 'apiserver')).toEqual([once, once]));

    // 21: the address is that of both, and of this process, which is no pod
    const stranger = await Peer.start();
    await converse(stranger, apiserver.peer, '127.0.0.1');
    await stranger.end();
    await eventually(async () => expect(await counted('unknown', 'apiserver')).toEqual([once, once]));
    expect(await counted('node-agent', 'apiserver')).toEqual([once, once]);
    await stop(nodeAgent);
    await stop(apiserver);
  });

  test.skipIf(!isHybrid())('on a hybrid host, all in the v2 root: by the network namespace', async () => {
    const client = await start(CLIENT.podUids[0]!, 'systemd', link.client);
    const server = await start(SERVER.podUids[0]!, 'cgroupfs', link.server);
    for (const { peer, pid } of [client, server]) peer.joinCgroup(cgroupRoot(), pid);
    const counts = (await counted('client', 'server'))[0] as number[];
    const port = await converse(client.peer, server.peer, '10.72.1.1');
    expect(await localEnds(port)).toEqual([
      ['client', CLIENT.podUids[0], client.id],
      ['server', SERVER.podUids[0], server.id],
    ]);
    const more = counts.map((count, i) => count + [1, 1, 11, 22][i]!);
    await eventually(async () => expect(await counted('client', 'server')).toEqual([more, more]));

    // another pod gets the namespace: the kernel knows it by the same inode
    await stop(client);
    const heir = await start(AGENT.podUids[0]!, 'systemd', link.client);
    heir.peer.joinCgroup(cgroupRoot(), heir.pid);
    await converse(heir.peer, server.peer, '10.72.1.1');
    const once = [1, 1, 11, 22];
    await eventually(async () => expect(await counted('node-agent', 'server')).toEqual([once, once]));
    expect(await counted('client', 'server')).toEqual([more, more]);
    await stop(heir);
    await stop(server);
  });

  test('nothing is left of them', async () => {
    node.remove();
    link.remove();
    expect(await agent.stop()).toBe(0);
    await nothingIsLeft(before);
    expect(readdirSync(cgroupRoot()).filter((name) => name.startsWith(`tcpl-${process.pid}-`))).toEqual([]);
    for (const { name } of [link.client, link.server]) expect(existsSync(join('/run/netns', name))).toBe(false);
  });
});
