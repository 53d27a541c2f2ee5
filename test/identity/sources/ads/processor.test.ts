/** The source within the processor: its section of the configuration, and labels of connections. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Node, parseDocument } from 'yaml';
import { createIdentityProcessor, type IdentityConfig, identityProcessor } from '../../../../src/identity/processor.ts';
import { FETCH_TIMEOUT_MS } from '../../../../src/identity/sources/ads/source.ts';
import { istioLabelValues } from '../../../../src/semconv/istio-labels.ts';
import { ISTIO_LABELS } from '../../../../src/semconv/registry.ts';
import {
  batchOf,
  FakeCgroups,
  FakeClock,
  FakeHost,
  FakePairSource,
  PairSink,
  type PairTexts,
  pipeline,
  SENT,
  settings,
} from '../../fakes.ts';
import { ControlPlane } from './support/control-plane.ts';
import { DB, mesh, WEB } from './support/mesh.ts';
import { until } from './support/rig.ts';

function parse(text: string): { config: IdentityConfig; mistakes: string[] } {
  const mistakes: string[] = [];
  const contents = parseDocument(text).contents as Node;
  const config = identityProcessor.schema.parse(contents, 'identity', (path, _node, message) => {
    mistakes.push(`${path}: ${message}`);
  });
  return { config, mistakes };
}

describe('the section', () => {
  it('has defaults for a cluster', () => {
    const { config, mistakes } = parse('{sources: [ads], ads: {}}');
    expect(mistakes).toEqual([]);
    expect((config as unknown as { ads: unknown }).ads).toEqual({
      endpoint: { host: 'istiod.istio-system.svc', port: 15012 },
      token_file: '/var/run/secrets/tokens/istio-token',
      tls: { ca_file: '/var/run/secrets/istio/root-cert.pem', insecure: false, server_name_override: '' },
      cluster_id: 'Kubernetes',
      network: '',
    });
  });

  it.each([
    ['{sources: [host], ads: {}}', 'identity.ads: the source ads is not in sources'],
    ['{sources: [ads], ads: {on_demand: true}}', 'identity.ads.on_demand: unknown key "on_demand"'],
    ['{sources: [ads], ads: {endpoint: nonsense}}', 'identity.ads.endpoint: found "nonsense"'],
  ])('%s is a mistake', (text, message) => {
    expect(parse(text).mistakes.join('\n')).toContain(message);
  });
});

describe('/readyz', () => {
  it('tells what is waited for, as the control plane tells the mesh', async () => {
    const plane = new ControlPlane();
    mesh(plane);
    plane.silent.add('ClusterLoadAssignment');
    await plane.start();
    const host = new FakeHost();
    const { config } = parse(`{sources: [ads], ads: {endpoint: "127.0.0.1:${plane.port}", tls: {insecure: true}}}`);
    const clock = new FakeClock();
    const identity = createIdentityProcessor(settings(), config, { clock, cgroups: new FakeCgroups() });
    onTestFinished(async () => {
      await identity.shutdown(new AbortController().signal);
      plane.stop();
    });
    await identity.start(host);
    await until(() => host.missing.get('identity') === 'ads: waiting for the endpoints of 2 of 2 clusters');
    clock.advance(FETCH_TIMEOUT_MS);
    expect(host.missing.size).toBe(0);
  });
});

describe('labels', () => {
  async function start(sources: string) {
    const plane = new ControlPlane();
    mesh(plane);
    await plane.start();
    const clock = new FakeClock();
    const host = new FakeHost();
    const text = `{sources: [${sources}], ads: {endpoint: "127.0.0.1:${plane.port}", tls: {insecure: true}}}`;
    const { config } = parse(text);
    const identity = createIdentityProcessor(settings(), config, {
      clock,
      cgroups: new FakeCgroups(),
      nodeAddresses: { has: () => false },
    });
    onTestFinished(async () => {
      await identity.shutdown(new AbortController().signal);
      plane.stop();
    });
    const source = new FakePairSource();
    const sink = new PairSink();
    const metrics = identity.metrics!(sink, pipeline('metrics'));
    await identity.start(host);
    expect(host.missing.get('identity')).toBe(`ads: waiting for clusters from 127.0.0.1:${plane.port}`);
    await until(() => host.missing.size === 0);
    /** Labels by name, but for the reporter, after the time-out if need be. */
    return (fields: PairTexts) => {
      const pair = source.add(clock, fields);
      metrics.consume(batchOf(source, clock.bootNs, [[pair, { [SENT]: 1 }]]));
      clock.advance(5_000);
      const { peers } = sink.rows.find(({ slot }) => slot === pair.slot)!;
      const { reporter, ...labels } = Object.fromEntries(
        istioLabelValues(peers).map((value, at) => [ISTIO_LABELS[at]!, value]),
      ) as Record<string, string>;
      expect(reporter).toBe(fields.role);
      return labels;
    };
  }

  it.each([
    ['by its virtual address', '10.96.0.1', 80, '10.0.1.1', 8080],
    ['by its virtual address, IPv6', 'fd00:96::1', 80, 'fd00:10::1', 8080],
    ['by a pod', '10.0.1.2', 9090, '10.0.1.2', 9090],
  ])('are the same at both ends of a connection that dials a service %s', async (_, dialled, port, pod, podPort) => {
    const labels = await start('ads');
    const client = { role: 'source', localAddress: '10.0.2.1', remoteAddress: dialled, servicePort: port } as const;
    const server = { role: 'destination', localAddress: pod, remoteAddress: '10.0.2.1', servicePort: podPort } as const;
    const seen = labels(client);
    expect(seen).toEqual(labels(server));
    expect(seen).toMatchObject({
      source_workload: 'db',
      source_version: 'latest',
      source_zone: 'eu-2b',
      source_principal: 'unknown',
      destination_service: WEB,
      destination_service_name: 'web',
      destination_service_namespace: 'shop',
      destination_workload: 'web-v1',
      destination_app: 'web',
      destination_version: 'v1',
      destination_principal: 'spiffe://cluster.local/ns/shop/sa/web',
      destination_cluster: 'Kubernetes',
      destination_region: 'eu-1',
      connection_security_policy: 'unknown',
    });
  });

  it('leave ends that back no service to the sources behind it', async () => {
    const labels = await start('ads, host');
    const dial = { role: 'source', remoteAddress: '10.96.0.2', servicePort: 5432, executable: 'psql' } as const;
    expect(labels({ ...dial, localAddress: '10.0.9.9' })).toMatchObject({
      source_workload: 'psql',
      destination_workload: 'db',
      destination_service: DB,
    });
    const stranger = { role: 'destination', localAddress: '10.0.2.1', remoteAddress: '10.0.9.8' } as const;
    expect(labels({ ...stranger, servicePort: 5432 })).toMatchObject({
      source_workload: 'unknown',
      destination_workload: 'db',
      destination_service: DB,
    });
  });
});
