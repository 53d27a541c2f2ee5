/** Who has an address, and when: shared, overlapping, reused, and told of too late. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from '../../kernel/support/agent.ts';
import { eventually } from '../../kernel/support/eventually.ts';
import { account } from './support/account.ts';
import { castOf } from './support/cast.ts';
import { pod, workloadEntry } from './support/objects.ts';
import { exchange, hangUp, namesFrom, Stage } from './support/stage.ts';
import { describeConformance } from './support/suite.ts';

const BOTH = ['source', 'destination'] as const;

const cast = { hostNetwork: castOf(21), overlap: castOf(22), reuse: castOf(23), late: castOf(29) };

const podOf = (workload: string, { namespace, client }: { namespace: string; client: string }) =>
  pod({ workload, namespace, ips: [client] });

describeConformance('names', () => {
  let stage: Stage;
  const servers = Object.values(cast).map(({ namespace, server }) =>
    pod({ workload: 'server', namespace, ips: [server] }),
  );

  beforeAll(async () => {
    stage = await Stage.open(servers);
  });

  afterAll(async () => {
    await stage?.close();
  });

  /** Opened, closed, received and sent to the server of that namespace by a workload of that name, at each reporter. */
  async function ofClient(agent: Agent, client: string, namespace: string): Promise<number[][]> {
    const page = await agent.scrape();
    const labels = {
      source_workload: client,
      destination_workload: 'server',
      destination_workload_namespace: namespace,
    };
    return BOTH.map((reporter) => account(page, { ...labels, reporter }));
  }

  const times = (n: number): number[][] => BOTH.map(() => [n, n, 11 * n, 22 * n]);

  test('21. a pod in the host’s network shares the node’s address: nobody is named by it', async () => {
    const { namespace, client, server } = cast.hostNetwork;
    await stage.apply(pod({ workload: 'exporter', namespace, ips: [client], hostNetwork: true }));
    await stage.converse(client, await stage.listen(server));
    await eventually(async () => expect(await ofClient(stage.agent, 'unknown', namespace)).toEqual(times(1)));
    expect(await ofClient(stage.agent, 'exporter', namespace)).toEqual(times(0));
  });

  test('22. a pod and an entry have one address: the pod; then the entry; then nobody', async () => {
    const { namespace, client, server } = cast.overlap;
    const [workload, entry] = [podOf('in-cluster', cast.overlap), workloadEntry('machine', namespace, client)];
    await stage.apply(entry, workload);
    const listener = await stage.listen(server);
    await stage.converse(client, listener);
    await eventually(async () => expect(await ofClient(stage.agent, 'in-cluster', namespace)).toEqual(times(1)));
    await stage.remove(workload);
    await stage.converse(client, listener);
    await eventually(async () => expect(await ofClient(stage.agent, 'machine', namespace)).toEqual(times(1)));
    await stage.remove(entry);
    await stage.converse(client, listener);
    await eventually(async () => expect(await ofClient(stage.agent, 'unknown', namespace)).toEqual(times(1)));
    expect(await ofClient(stage.agent, 'in-cluster', namespace)).toEqual(times(1));
    expect(await ofClient(stage.agent, 'machine', namespace)).toEqual(times(1));
  });

  test('23. an address goes from one pod to another: what was opened before keeps its name to the end', async () => {
    const { namespace, client, server } = cast.reuse;
    const [before, after] = [podOf('first', cast.reuse), podOf('second', cast.reuse)];
    await stage.apply(before);
    const listener = await stage.listen(server);
    const held = await stage.connect(client, listener);
    await exchange(held);
    await stage.remove(before);
    await stage.apply(after);
    await stage.converse(client, listener);
    await eventually(async () => expect(await ofClient(stage.agent, 'second', namespace)).toEqual(times(1)));
    await exchange(held);
    const local = await hangUp(held);
    await eventually(async () =>
      expect(await ofClient(stage.agent, 'first', namespace)).toEqual(BOTH.map(() => [1, 1, 22, 44])),
    );
    expect(await ofClient(stage.agent, 'second', namespace)).toEqual(times(1));
    await eventually(() => {
      const lines = stage.agent.log().filter(({ fields }) => fields['src.addr'] === local);
      expect(lines.map(({ fields }) => String(fields['src.workload']).split('-')[0])).toEqual(['first', 'first']);
    });
  });

  test('29. a workload that comes 2 s after its connection: named where that is waited for, else unknown', async () => {
    const { namespace, client, server } = cast.late;
    const impatient = await startAgent({
      identity: { ...namesFrom(stage.istiod.port), resolve_timeout: '500ms' },
    });
    try {
      const listener = await stage.listen(server);
      await stage.converse(client, listener);
      await delay(2000);
      // nothing waits for it
      const meanwhile = cast.hostNetwork;
      const [opened] = account(await stage.agent.scrape(), { destination_workload_namespace: meanwhile.namespace });
      await stage.converse('10.71.21.9', await stage.listen(meanwhile.server));
      await stage.apply(podOf('client', cast.late));
      await eventually(async () => expect(await ofClient(stage.agent, 'client', namespace)).toEqual(times(1)));
      await eventually(async () => expect(await ofClient(impatient, 'unknown', namespace)).toEqual(times(1)));
      expect(await ofClient(impatient, 'client', namespace)).toEqual(times(0));
      await eventually(async () => {
        const [now] = account(await stage.agent.scrape(), { destination_workload_namespace: meanwhile.namespace });
        expect(now).toBe(opened! + 2);
      });
    } finally {
      await impatient.kill();
    }
  });
});
