/** What istiod cannot be made to say: names in a network of their own, and a workload that is no workload. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  broken,
  ip,
  pod,
  resource,
  response,
  service,
  serviceKey,
  uidOf,
  workload,
} from '../../identity/sources/istiod/support/rig.ts';
import {
  type DiscoveryServer,
  discoveryServer,
  type ServerStream,
} from '../../identity/sources/xds/support/discovery-server.ts';
import { type Agent, startAgent } from '../../kernel/support/agent.ts';
import { eventually } from '../../kernel/support/eventually.ts';
import { CLIENT, type PairOfPeers, pairOfPeers, SERVER } from '../../kernel/support/pair.ts';
import { describeOnKernel } from '../../kernel/support/suite.ts';
import { account, labelSets } from './support/account.ts';
import { exchange, hangUp, namesFrom } from './support/stage.ts';

describeOnKernel('conformance: what a control plane may say', () => {
  let peers: PairOfPeers;
  let agent: Agent | undefined;
  let controlPlane: DiscoveryServer | undefined;

  beforeAll(async () => {
    peers = await pairOfPeers();
  });

  afterEach(async () => {
    await agent?.kill();
    controlPlane?.close();
  });

  afterAll(async () => {
    await peers?.remove();
  });

  /** A control plane that answers the first request of each stream with this. */
  async function saying(resources: readonly object[]): Promise<DiscoveryServer> {
    controlPlane = await discoveryServer({
      onRequest: (stream: ServerStream) => {
        if (stream.requests.length === 1) stream.respond(response(resources));
      },
    });
    return controlPlane;
  }

  async function converse(): Promise<void> {
    const connection = await peers.connect();
    await exchange(connection);
    await hangUp(connection);
  }

  async function allOfBoth(): Promise<void> {
    await eventually(async () => {
      const page = await agent!.scrape();
      for (const reporter of ['source', 'destination']) {
        const labels = { reporter, source_workload: 'client', destination_workload: 'server' };
        expect(account(page, labels)).toEqual([1, 1, 11, 22]);
      }
    });
  }

  test('24. workloads and services of a network with a name, on a node of that network', async () => {
    const network = 'net1';
    const ports = [{ servicePort: 80, targetPort: peers.port }];
    const backed = { [serviceKey('server')]: { ports } };
    const { port } = await saying([
      resource(uidOf('client'), workload('client', CLIENT.ips[0], { network })),
      resource(uidOf('server'), workload('server', SERVER.ips[0], { network, services: backed })),
      // the same address in another network is somebody else's
      resource(uidOf('stranger'), workload('stranger', SERVER.ips[0], { network: 'net2' })),
      resource(
        serviceKey('server'),
        service('server', '10.96.9.1', { ports, addresses: [{ network, address: ip('10.96.9.1') }] }),
      ),
    ]);
    agent = await startAgent({ identity: namesFrom(port, { network }) });
    await converse();
    await allOfBoth();
    const { source, destination } = labelSets(await agent.scrape(), { source_workload: 'client' });
    expect(source).toEqual([expect.objectContaining({ destination_service: 'server.shop.svc.cluster.local' })]);
    expect(destination).toEqual(source);
  });

  test('38. one workload of ten is malformed: refused by name, the other nine serve, and it is not known again', async () => {
    const others = Array.from({ length: 7 }, (_, i) => `other-${i}`);
    const { port, streams } = await saying([
      ...others.map((name, i) => pod(name, `10.72.200.${i}`, 'v1')),
      broken(uidOf('bad'), workload('bad', '10.72.200.99')),
      pod('client', CLIENT.ips[0], 'v1'),
      pod('server', SERVER.ips[0], 'v1'),
    ]);
    agent = await startAgent({ identity: namesFrom(port) });
    const refusal = await eventually(() => {
      const [answer] = streams[0]!.requests.filter(({ responseNonce }) => responseNonce !== '');
      expect(answer?.errorDetail).toBeTruthy();
      return answer!.errorDetail!;
    });
    expect(refusal.message).toContain(uidOf('bad'));
    for (const name of [...others, 'client', 'server']) expect(refusal.message).not.toContain(uidOf(name));
    const page = await agent.scrape();
    expect(page.sum('tcpledger_identity_objects', { source: 'istiod', kind: 'workload' })).toBe(9);
    await converse();
    await allOfBoth();

    streams[0]!.end();
    await eventually(() => expect(streams[1]?.requests.length).toBeGreaterThan(0));
    const known = Object.keys(streams[1]!.requests[0]!.initialResourceVersions).sort();
    expect(known).toEqual([...others, 'client', 'server'].map(uidOf).sort());
  });
});
