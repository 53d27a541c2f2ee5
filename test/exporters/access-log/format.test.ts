import { describe, expect, it } from 'vitest';
import { createJsonFormat } from '../../../src/exporters/access-log/json-format.ts';
import { createTextFormat } from '../../../src/exporters/access-log/text-format.ts';
import type { Peers } from '../../../src/identity/types.ts';
import type { ConnectionRecord } from '../../../src/receiver/types.ts';
import { BOOT_ID, connection, createSource, peers, service, workload } from './fixtures.ts';
import { parseText } from './parse-line.ts';

const MS = 1_000_000;

const client = workload({
  podName: 'client-7c9f-abcde',
  namespace: 'default',
  cluster: 'Kubernetes',
  principal: 'spiffe://cluster.local/ns/default/sa/client',
});
const server = workload({
  podName: 'server-5d4b-fghij',
  namespace: 'shop',
  cluster: 'Kubernetes',
  principal: 'spiffe://cluster.local/ns/shop/sa/server',
});
const shop = service('server.shop.svc.cluster.local');

/** `time` is the line's; the record's event happens then. */
function textLine(time: string, record: Partial<ConnectionRecord>, between: Partial<Peers>): string {
  const [second, fraction] = time.slice(0, -1).split('.') as [string, string];
  const source = createSource(new Date(`${second}Z`));
  const timeNs = Number(fraction) * 1000;
  const durationNs = (record.timeNs ?? 0) - (record.openedNs ?? 0);
  return createTextFormat()(connection({ ...record, timeNs, openedNs: timeNs - durationNs }), peers(between), source);
}

describe('text lines are those of ztunnel', () => {
  // The proposal's sample, then each case of ztunnel's own output.
  const cases: readonly [string, string, Partial<ConnectionRecord> & { hboneAddress?: string }, Partial<Peers>][] = [
    [
      'the sample of the proposal',
      '2024-05-30T12:18:10.172761Z	info	access	connection complete	src.addr=10.244.0.10:47667 src.workload="sleep-7656cf8794-9v2gv" src.namespace="ambient-demo" dst.addr=10.244.0.7:8080 dst.service="httpbin.ambient-demo.svc.cluster.local" dst.workload="httpbin-86b8ffc5ff-bhvxx" dst.namespace="ambient-demo" direction="inbound" bytes_sent=239 bytes_recv=76 duration="2ms"',
      {
        role: 'destination',
        localAddress: '10.244.0.7',
        localPort: 8080,
        remoteAddress: '10.244.0.10',
        remotePort: 47667,
        bytesSent: 239,
        bytesReceived: 76,
        timeNs: 2.9 * MS,
      },
      {
        reporter: 'destination',
        source: workload({ podName: 'sleep-7656cf8794-9v2gv', namespace: 'ambient-demo' }),
        destination: workload({ podName: 'httpbin-86b8ffc5ff-bhvxx', namespace: 'ambient-demo' }),
        service: service('httpbin.ambient-demo.svc.cluster.local'),
      },
    ],
    [
      '11 bytes sent, 22 answered, dialled by service',
      '2026-11-23T16:16:19.708303Z	info	access	connection complete	src.addr=127.0.0.1:63272 src.workload="client-7c9f-abcde" src.namespace="default" src.cluster="Kubernetes" dst.addr=127.0.0.2:9000 dst.service="server.shop.svc.cluster.local" dst.workload="server-5d4b-fghij" dst.namespace="shop" dst.cluster="Kubernetes" direction="outbound" bytes_sent=11 bytes_recv=22 duration="21ms"',
      { localAddress: '127.0.0.1', localPort: 63272, remoteAddress: '127.0.0.2', timeNs: 21 * MS },
      { source: client, destination: server, service: shop },
    ],
    [
      'the same, seen by the destination, the client unknown',
      '2026-11-23T16:16:23.865910Z	info	access	connection complete	src.addr=127.0.9.9:25425 dst.addr=127.0.0.1:9010 dst.workload="client-7c9f-abcde" dst.namespace="default" dst.cluster="Kubernetes" direction="inbound" bytes_sent=22 bytes_recv=11 duration="20ms"',
      {
        role: 'destination',
        localAddress: '127.0.0.1',
        localPort: 9010,
        remoteAddress: '127.0.9.9',
        remotePort: 25425,
        bytesSent: 22,
        bytesReceived: 11,
        timeNs: 20 * MS,
      },
      { reporter: 'destination', destination: client },
    ],
    [
      'zero bytes',
      '2026-11-23T16:16:21.517971Z	info	access	connection complete	src.addr=127.0.0.1:63288 src.workload="client-7c9f-abcde" src.namespace="default" src.cluster="Kubernetes" dst.addr=127.0.0.2:9000 dst.service="server.shop.svc.cluster.local" dst.workload="server-5d4b-fghij" dst.namespace="shop" dst.cluster="Kubernetes" direction="outbound" bytes_sent=0 bytes_recv=0 duration="125ms"',
      {
        localAddress: '127.0.0.1',
        localPort: 63288,
        remoteAddress: '127.0.0.2',
        bytesSent: 0,
        bytesReceived: 0,
        timeNs: 125 * MS,
      },
      { source: client, destination: server, service: shop },
    ],
    [
      'refused',
      '2026-11-23T16:16:20.963237Z	error	access	connection complete	src.addr=127.0.0.1:22658 src.workload="client-7c9f-abcde" src.namespace="default" src.cluster="Kubernetes" dst.addr=127.0.0.2:9009 dst.workload="server-5d4b-fghij" dst.namespace="shop" dst.cluster="Kubernetes" direction="outbound" bytes_sent=0 bytes_recv=0 duration="0ms" error="io error: Connection refused (os error 111)"',
      {
        event: 'fail',
        errno: 111,
        errorType: 'connection_refused',
        localAddress: '127.0.0.1',
        localPort: 22658,
        remoteAddress: '127.0.0.2',
        remotePort: 9009,
        bytesSent: 0,
        bytesReceived: 0,
        establishedNs: 0,
        timeNs: 0.2 * MS,
      },
      { source: client, destination: server },
    ],
    [
      'no route',
      '2026-11-23T16:17:16.390904Z	error	access	connection complete	src.addr=192.0.2.1:41204 src.workload="client-7c9f-abcde" src.namespace="default" src.cluster="Kubernetes" dst.addr=192.0.2.99:9000 direction="outbound" bytes_sent=0 bytes_recv=0 duration="3074ms" error="io error: No route to host (os error 113)"',
      {
        event: 'fail',
        errno: 113,
        errorType: 'host_unreachable',
        localPort: 41204,
        remoteAddress: '192.0.2.99',
        bytesSent: 0,
        bytesReceived: 0,
        establishedNs: 0,
        timeNs: 3074 * MS,
      },
      { source: client },
    ],
    [
      'unknown destination',
      '2026-11-23T16:16:22.149841Z	info	access	connection complete	src.addr=127.0.0.1:52652 src.workload="client-7c9f-abcde" src.namespace="default" src.cluster="Kubernetes" dst.addr=127.0.5.5:9000 direction="outbound" bytes_sent=11 bytes_recv=22 duration="30ms"',
      { localAddress: '127.0.0.1', localPort: 52652, remoteAddress: '127.0.5.5', timeNs: 30 * MS },
      { source: client },
    ],
    [
      'HBONE, the source',
      '2026-11-23T16:17:10.775384Z	info	access	connection complete	src.addr=192.0.2.1:26420 src.workload="client-7c9f-abcde" src.namespace="default" src.identity="spiffe://cluster.local/ns/default/sa/client" src.cluster="Kubernetes" dst.addr=192.0.2.2:15008 dst.hbone_addr=192.0.2.2:9000 dst.service="server.shop.svc.cluster.local" dst.workload="server-5d4b-fghij" dst.namespace="shop" dst.identity="spiffe://cluster.local/ns/shop/sa/server" dst.cluster="Kubernetes" direction="outbound" bytes_sent=11 bytes_recv=22 duration="26ms"',
      { localPort: 26420, remotePort: 15008, hboneAddress: '192.0.2.2:9000', timeNs: 26 * MS },
      { source: client, destination: server, service: shop, securityPolicy: 'mutual_tls' },
    ],
    [
      'HBONE, the destination',
      '2026-11-23T16:17:10.775182Z	info	access	connection complete	src.addr=192.0.2.1:19176 src.workload="client-7c9f-abcde" src.namespace="default" src.identity="spiffe://cluster.local/ns/default/sa/client" src.cluster="Kubernetes" dst.addr=192.0.2.2:15008 dst.hbone_addr=192.0.2.2:9000 dst.workload="server-5d4b-fghij" dst.namespace="shop" dst.identity="spiffe://cluster.local/ns/shop/sa/server" dst.cluster="Kubernetes" direction="inbound" bytes_sent=22 bytes_recv=11 duration="23ms"',
      {
        role: 'destination',
        localAddress: '192.0.2.2',
        localPort: 15008,
        remoteAddress: '192.0.2.1',
        remotePort: 19176,
        hboneAddress: '192.0.2.2:9000',
        bytesSent: 22,
        bytesReceived: 11,
        timeNs: 23 * MS,
      },
      { reporter: 'destination', source: client, destination: server, securityPolicy: 'mutual_tls' },
    ],
    [
      'IPv6 in brackets',
      '2026-11-23T16:16:22.000001Z	info	access	connection complete	src.addr=[2001:db8::1]:52652 dst.addr=[::1]:9000 direction="outbound" bytes_sent=11 bytes_recv=22 duration="30ms"',
      { localAddress: '2001:db8::1', localPort: 52652, remoteAddress: '::1', timeNs: 30 * MS },
      {},
    ],
    [
      'an opening',
      '2026-11-23T16:16:22.149841Z	debug	access	connection opened	src.addr=192.0.2.1:40000 src.workload="client-7c9f-abcde" src.namespace="default" src.cluster="Kubernetes" dst.addr=192.0.2.2:9000 direction="outbound"',
      { event: 'open' },
      { source: client },
    ],
    [
      'no address known: the first field still follows a tab',
      '2026-11-23T16:16:22.149841Z	info	access	connection complete	src.workload="curl" direction="outbound" bytes_sent=9007199254740991 bytes_recv=0 duration="21ms"',
      { localAddress: '', remoteAddress: '', bytesSent: Number.MAX_SAFE_INTEGER, bytesReceived: 0, timeNs: 21 * MS },
      { source: workload({ canonicalService: 'curl' }) },
    ],
  ];

  it.each(cases)('%s', (_, line, record, between) => {
    expect(textLine(line.split('\t')[0]!, record, between)).toBe(`${line}\n`);
  });
});

describe('the time of a line', () => {
  it.each([
    ['keeps leading zeros', 1_042_999, '2026-01-01T00:00:00.001042Z'],
    ['is truncated, not rounded', 999_999_999, '2026-01-01T00:00:00.999999Z'],
    ['goes on into the next second', 1_000_000_000, '2026-01-01T00:00:01.000000Z'],
    ['may go back', -1, '2025-12-31T23:59:59.999999Z'],
  ])('%s', (_, timeNs, expected) => {
    const source = createSource(new Date('2026-01-01T00:00:00Z'));
    const format = createTextFormat();
    format(connection({ timeNs: 0 }), peers(), source);
    expect(parseText(format(connection({ timeNs }), peers(), source)).time).toBe(expected);
  });
});

it('a JSON line is one flat object, head first and the id last', () => {
  const source = createSource(new Date('2026-11-23T16:16:19.000Z'));
  const between = peers({ source: client, destination: server, service: shop });
  expect(
    createJsonFormat()(connection({ connectionId: '77', timeNs: 708303000, openedNs: 687303000 }), between, source),
  ).toBe(
    '{"level":"info","time":"2026-11-23T16:16:19.708303Z","scope":"access","message":"connection complete",' +
      '"src.addr":"192.0.2.1:40000","src.workload":"client-7c9f-abcde","src.namespace":"default","src.cluster":"Kubernetes",' +
      '"dst.addr":"192.0.2.2:9000","dst.service":"server.shop.svc.cluster.local","dst.workload":"server-5d4b-fghij",' +
      '"dst.namespace":"shop","dst.cluster":"Kubernetes","direction":"outbound","bytes_sent":11,"bytes_recv":22,' +
      `"duration":"21ms","tcpledger.connection.id":"${BOOT_ID}-77"}\n`,
  );
});

it('records of one pair share its text, records of another do not', () => {
  const source = createSource(new Date(0));
  const format = createTextFormat();
  const one = peers({ source: workload({ podName: 'one' }) });
  const other = peers({ source: workload({ podName: 'other' }) });
  const names = [one, other, one].map((between) => {
    const { fields } = parseText(format(connection(), between, source));
    return new Map(fields).get('src.workload');
  });
  expect(names).toEqual(['one', 'other', 'one']);
});
