import { describe, expect, it } from 'vitest';
import {
  istioLabelValues,
  type LabelledPeers,
  type LabelledWorkload,
  tcpLabelValues,
} from '../../src/semconv/istio-labels.ts';
import { ISTIO_LABELS, TCP_LABELS } from '../../src/semconv/registry.ts';

const workload = (name: string, rest: Partial<LabelledWorkload> = {}): LabelledWorkload => ({
  name: `${name}-v1`,
  namespace: `${name}-ns`,
  canonicalService: name,
  canonicalRevision: 'v1',
  principal: `spiffe://cluster.local/ns/${name}-ns/sa/${name}`,
  cluster: 'Kubernetes',
  region: `${name}-region`,
  zone: `${name}-zone`,
  ...rest,
});

const peers = (rest: Partial<LabelledPeers> = {}): LabelledPeers => ({
  reporter: 'source',
  source: workload('client'),
  destination: workload('server'),
  service: { hostname: 'server.shop.svc.cluster.local', name: 'server', namespace: 'shop' },
  securityPolicy: 'unknown',
  ...rest,
});

const labels = (p: LabelledPeers): Record<string, string> =>
  Object.fromEntries(istioLabelValues(p).map((value, i) => [ISTIO_LABELS[i], value]));

const NOBODY = { source: undefined, destination: undefined, service: undefined };

describe('Istio labels', () => {
  it('of two known ends in plaintext, in the order of telemetry.md', () => {
    expect(Object.entries(labels(peers()))).toEqual([
      ['reporter', 'source'],
      ['source_workload', 'client-v1'],
      ['source_canonical_service', 'client'],
      ['source_canonical_revision', 'v1'],
      ['source_workload_namespace', 'client-ns'],
      ['source_principal', 'unknown'],
      ['source_app', 'client'],
      ['source_version', 'v1'],
      ['source_cluster', 'Kubernetes'],
      ['destination_service', 'server.shop.svc.cluster.local'],
      ['destination_service_namespace', 'shop'],
      ['destination_service_name', 'server'],
      ['destination_workload', 'server-v1'],
      ['destination_canonical_service', 'server'],
      ['destination_canonical_revision', 'v1'],
      ['destination_workload_namespace', 'server-ns'],
      ['destination_principal', 'spiffe://cluster.local/ns/server-ns/sa/server'],
      ['destination_app', 'server'],
      ['destination_version', 'v1'],
      ['destination_cluster', 'Kubernetes'],
      ['request_protocol', 'tcp'],
      ['response_flags', '-'],
      ['connection_security_policy', 'unknown'],
      ['source_region', 'client-region'],
      ['source_zone', 'client-zone'],
      ['destination_region', 'server-region'],
      ['destination_zone', 'server-zone'],
    ]);
  });

  it('name the source principal only when TLS proved it', () => {
    const secured = labels(peers({ securityPolicy: 'mutual_tls' }));
    expect(secured.connection_security_policy).toBe('mutual_tls');
    expect(secured.source_principal).toBe('spiffe://cluster.local/ns/client-ns/sa/client');
    expect(secured.destination_principal).toBe('spiffe://cluster.local/ns/server-ns/sa/server');
  });

  it('say unknown for a destination principal that the source of names has not', () => {
    const host = peers({ destination: workload('server', { principal: undefined }) });
    expect(labels(host).destination_principal).toBe('unknown');
  });

  it('are all there, and unknown, when nobody is known', () => {
    const { reporter, request_protocol, response_flags, ...rest } = labels(
      peers({ reporter: 'destination', ...NOBODY }),
    );
    expect({ reporter, request_protocol, response_flags }).toEqual({
      reporter: 'destination',
      request_protocol: 'tcp',
      response_flags: '-',
    });
    expect(Object.keys(rest)).toHaveLength(24);
    expect(new Set(Object.values(rest))).toEqual(new Set(['unknown']));
  });

  it.each(['', '-', undefined])('spell the missing value %j as unknown in every place', (missing) => {
    const blank: LabelledWorkload = {
      name: missing,
      namespace: missing,
      canonicalService: missing,
      canonicalRevision: missing,
      principal: missing,
      cluster: missing,
      region: missing,
      zone: missing,
    };
    const values = labels({
      reporter: 'source',
      source: blank,
      destination: blank,
      service: { hostname: missing, name: missing, namespace: missing },
      securityPolicy: 'mutual_tls',
    });
    for (const [label, value] of Object.entries(values)) {
      if (label === 'response_flags') expect(value).toBe('-');
      else expect(value, label).not.toMatch(/^-?$/);
    }
    expect(values.source_workload).toBe('unknown');
    expect(values.source_principal).toBe('unknown');
    expect(values.destination_service).toBe('unknown');
  });

  it('are the same at both ends but for the reporter', () => {
    const [source, ...ofSource] = istioLabelValues(peers({ reporter: 'source' }));
    const [destination, ...ofDestination] = istioLabelValues(peers({ reporter: 'destination' }));
    expect([source, destination]).toEqual(['source', 'destination']);
    expect(ofSource).toEqual(ofDestination);
  });

  it('never have a name that a scraper gives to its target', () => {
    for (const name of [...ISTIO_LABELS, ...TCP_LABELS]) {
      expect(['app', 'pod', 'namespace', 'node', 'instance', 'job']).not.toContain(name);
    }
  });
});

describe('labels of the richer set', () => {
  it("are a part of Istio's, with the same values", () => {
    const p = peers({ destination: workload('server', { namespace: '' }) });
    expect(tcpLabelValues(p)).toEqual(TCP_LABELS.map((label) => labels(p)[label]));
    expect(tcpLabelValues(p)).toContain('unknown');
  });
});
