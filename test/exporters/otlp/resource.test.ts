import { hostname } from 'node:os';
import { expect, it } from 'vitest';
import { resourceAttributes } from '../../../src/exporters/otlp/resource.ts';

it('names service, host, and node and cluster where known', () => {
  const always = { 'service.name': 'tcpledger', 'service.version': '1.2.3', 'host.name': hostname() };
  expect(resourceAttributes('1.2.3', {})).toEqual(always);
  expect(resourceAttributes('1.2.3', { NODE_NAME: '', CLUSTER_NAME: '' })).toEqual(always);
  expect(resourceAttributes('1.2.3', { NODE_NAME: 'n1', CLUSTER_NAME: 'c1' })).toEqual({
    ...always,
    'k8s.node.name': 'n1',
    'k8s.cluster.name': 'c1',
  });
});
