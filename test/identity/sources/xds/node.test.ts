import { describe, expect, it } from 'vitest';
import { createNode, encodeNode, thisMachine } from '../../../../src/identity/sources/xds/node.ts';
import { decode } from './support/protobuf.ts';

const machine = (env: Record<string, string>, addresses = ['192.0.2.7', '2001:db8::7']) => ({
  env,
  hostname: () => 'host-1',
  addresses: () => addresses,
});
const facts = { kind: 'ztunnel', clusterId: 'Kubernetes', network: '', tokenNamespace: undefined } as const;

describe('the node', () => {
  it('is the pod, as Istio’s charts tell it', () => {
    const env = {
      POD_NAME: 'ledger-1',
      POD_NAMESPACE: 'obs',
      INSTANCE_IP: '10.0.0.9',
      NODE_NAME: 'n1',
      ISTIO_META_DNS_CAPTURE: 'true',
      ISTIO_META_EMPTY: '',
    };
    expect(createNode({ ...facts, kind: 'sidecar', network: 'net1' }, machine(env))).toEqual({
      id: 'sidecar~10.0.0.9~ledger-1.obs~obs.svc.cluster.local',
      namespace: 'obs',
      metadata: {
        DNS_CAPTURE: 'true',
        NAME: 'ledger-1',
        NAMESPACE: 'obs',
        INSTANCE_IPS: '10.0.0.9',
        NODE_NAME: 'n1',
        CLUSTER_ID: 'Kubernetes',
        NETWORK: 'net1',
      },
    });
  });

  it('is the host where there is no pod, in the namespace of the token', () => {
    expect(createNode({ ...facts, tokenNamespace: 'istio-system' }, machine({}))).toEqual({
      id: 'ztunnel~192.0.2.7~host-1.istio-system~istio-system.svc.cluster.local',
      namespace: 'istio-system',
      metadata: {
        NAME: 'host-1',
        NAMESPACE: 'istio-system',
        INSTANCE_IPS: '192.0.2.7,2001:db8::7',
        NODE_NAME: 'host-1',
        CLUSTER_ID: 'Kubernetes',
      },
    });
    expect(createNode(facts, machine({}, []))).toMatchObject({
      id: 'ztunnel~127.0.0.1~host-1.default~default.svc.cluster.local',
    });
  });

  it('is encoded as Envoy has it', () => {
    const node = createNode(facts, machine({ ISTIO_META_X: 'Zürich' }));
    const { id, metadata } = decode('Node', encodeNode(node));
    expect(id).toBe(node.id);
    expect(metadata.fields).toEqual(
      Object.fromEntries(Object.entries(node.metadata).map(([key, stringValue]) => [key, { stringValue }])),
    );
  });

  it('can be told of this machine', () => {
    expect(createNode(facts, thisMachine).id).toMatch(/^ztunnel~[^~]+~[^~]+~[^~]+$/);
  });
});
