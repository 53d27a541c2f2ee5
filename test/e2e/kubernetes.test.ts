/** Names from a real Kubernetes API server, on the series of real connections. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from '../kernel/support/agent.ts';
import { eventually } from '../kernel/support/eventually.ts';
import { describeOnKernel } from '../kernel/support/suite.ts';
import { type ApiServer, apiServerMissing, startApiServer } from '../peers/apiserver.ts';
import {
  grantRole,
  makeNamespace,
  makeNode,
  makeService,
  makeSlice,
  runPod,
  type ServiceSpec,
  writeKubeconfig,
} from './support/kubernetes-objects.ts';
import { close, createMesh, EDGES, exchange, type Mesh } from './support/mesh.ts';

const missing = apiServerMissing();

describeOnKernel('names from a Kubernetes API server', () => {
  if (missing !== undefined) {
    test.skip(missing, () => undefined);
    return;
  }
  let api: ApiServer;
  let folder: string;
  let mesh: Mesh;
  let agent: Agent;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tcpledger-kubernetes-'));
    api = await startApiServer();
    await grantRole(api);
    await makeNode(api, 'node-1', 'eu-1', 'eu-1b');
    mesh = await createMesh();
    for (const namespace of ['ledger', 'elsewhere']) await makeNamespace(api, namespace);
    const uids = new Map<string, string>();
    for (const { name, ips = [], namespace = 'ledger' } of mesh.workloads) {
      const spec = { deployment: name, suffix: 'a', namespace, ip: ips[0]!, serviceAccount: name };
      uids.set(name, await runPod(api, { ...spec, labels: { version: 'v1' } }));
    }
    for (const { name, vips = [], ports } of mesh.services) {
      const [port, target] = Object.entries(ports)[0]!;
      const clusterIp = (vips[0] ?? '').slice(1);
      const spec: ServiceSpec = { name, namespace: 'ledger', clusterIp, port: Number(port), target };
      await makeService(api, spec);
      const backing = mesh.workloads.filter(({ services = {} }) => name in services);
      const pods = backing.map((workload) => ({
        uid: uids.get(workload.name)!,
        ip: workload.ips![0]!,
        name: `${workload.name}-7656cf8794-a`,
      }));
      if (pods.length > 0) await makeSlice(api, spec, target, pods);
    }
    agent = await startAgent({
      identity: {
        sources: ['kubernetes'],
        file: undefined,
        kubernetes: { kubeconfig: writeKubeconfig(api, join(folder, 'kubeconfig')) },
        resolve_timeout: '500ms',
      },
    });
  });

  afterAll(async () => {
    await agent?.kill();
    await mesh?.remove();
    await api?.stop();
    rmSync(folder, { recursive: true });
  });

  test.for(EDGES)('names both ends of $client to $service', async (edge) => {
    const connection = await mesh.connect(edge);
    await exchange(connection);
    await close(connection);
    const namespace = edge.client === 'probe' ? 'elsewhere' : 'ledger';
    const known = edge.workload !== 'unknown';
    for (const reporter of known ? ['source', 'destination'] : ['source']) {
      await eventually(async () => {
        const page = await agent.scrape();
        const [sample, ...more] = page.select('istio_tcp_received_bytes_total', {
          reporter,
          source_workload: edge.client,
          destination_workload: edge.workload,
          response_flags: '-',
        });
        expect(more).toEqual([]);
        expect(sample?.value).toBe(11);
        expect(sample?.labels).toMatchObject({
          source_workload_namespace: namespace,
          source_app: edge.client,
          source_version: 'v1',
          source_cluster: 'Kubernetes',
          source_region: 'eu-1',
          source_zone: 'eu-1b',
          destination_service: `${edge.service}.ledger.svc.cluster.local`,
          destination_service_name: edge.service,
          destination_service_namespace: 'ledger',
          destination_principal: known ? `spiffe://cluster.local/ns/ledger/sa/${edge.workload}` : 'unknown',
          destination_app: edge.workload,
        });
      });
    }
  });

  test('counts what it knows', async () => {
    const page = await agent.scrape();
    expect(page.sum('tcpledger_identity_synced', { source: 'kubernetes' })).toBe(1);
    expect(page.sum('tcpledger_identity_objects', { source: 'kubernetes', kind: 'node' })).toBe(1);
    expect(page.sum('tcpledger_identity_lists_total', { source: 'kubernetes', kind: 'pods' })).toBe(1);
  });
});
