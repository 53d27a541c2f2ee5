/** docs/access-log.md lists the fields that records have: all of them, and no others. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import {
  accessLogFields,
  connectionAttributes,
  flowAttributes,
  type LogConnection,
  type LogPeers,
  type LogWorkload,
  pairAttributes,
} from '../../src/semconv/log-record.ts';

const workload: LogWorkload = {
  namespace: 'shop',
  podName: 'reviews-v1-6d8c4f8b5-abcde',
  podUid: '6a7c1c7e-0000-4000-8000-000000000001',
  containerId: 'c'.repeat(64),
  canonicalService: 'reviews',
  principal: 'spiffe://cluster.local/ns/shop/sa/reviews',
  cluster: 'Kubernetes',
};

const peers: LogPeers = {
  reporter: 'source',
  source: workload,
  destination: workload,
  service: { hostname: 'reviews.shop.svc.cluster.local' },
  securityPolicy: 'mutual_tls',
};

const closed: LogConnection = {
  event: 'close',
  connectionId: '1',
  role: 'source',
  localAddress: '10.0.0.1',
  localPort: 40000,
  remoteAddress: '10.0.0.2',
  remotePort: 80,
  dialledPort: 0,
  hboneAddress: '10.0.0.2:80',
  adopted: false,
  timeNs: 3e6,
  openedNs: 1e6,
  establishedNs: 2e6,
  bytesSent: 11,
  bytesReceived: 22,
  closeReason: 'normal',
  errno: 0,
  errorType: undefined,
  smoothedRttUs: 20,
  minRttUs: 10,
  retransmits: 1,
  lost: 1,
  segmentsSent: 5,
  segmentsReceived: 4,
  pid: 1,
  executable: 'curl',
};

const failed: LogConnection = {
  ...closed,
  event: 'fail',
  establishedNs: 0,
  closeReason: undefined,
  errno: 111,
  errorType: 'connection_refused',
};

it('docs/access-log.md lists every field in the order of the records, and every attribute', () => {
  const page = readFileSync(new URL('../../docs/access-log.md', import.meta.url), 'utf8');
  const [, fields = '', attributes = ''] = page.split(/^## .*$/m);
  expect(firstColumn(fields)).toEqual(names((sink) => accessLogFields(failed, peers, sink)));
  const all = [closed, failed].flatMap((record) =>
    names((sink) => {
      pairAttributes(peers, sink);
      flowAttributes(record, peers, sink);
      connectionAttributes(record, 'b'.repeat(32), sink);
    }),
  );
  expect(firstColumn(attributes).sort()).toEqual([...new Set(all)].sort());
});

function names(visit: (sink: Parameters<typeof accessLogFields>[2]) => void): string[] {
  const seen: string[] = [];
  const add = (name: string) => void seen.push(name);
  visit({ string: add, int: add, double: add });
  return seen;
}

const firstColumn = (table: string): string[] => [...table.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name!);
