import { describe, expect, expectTypeOf, it } from 'vitest';
import type { Peers, Workload } from '../../src/identity/types.ts';
import type { ConnectionRecord } from '../../src/receiver/types.ts';
import {
  accessLogFields,
  connectionAttributes,
  type FieldSink,
  flowAttributes,
  type LogConnection,
  type LogPeers,
  pairAttributes,
} from '../../src/semconv/log-record.ts';

const NO_NAMES = {
  namespace: undefined,
  podName: undefined,
  podUid: undefined,
  containerId: undefined,
  canonicalService: undefined,
  canonicalRevision: undefined,
  principal: undefined,
  cluster: undefined,
  region: undefined,
  zone: undefined,
  node: undefined,
  goneSinceMs: undefined,
};

const workload = (rest: Partial<Workload>): Workload => ({ name: 'w', ...NO_NAMES, ...rest });

const CLIENT = workload({
  podName: 'client-7c9f-abcde',
  namespace: 'default',
  canonicalService: 'client',
  principal: 'spiffe://cluster.local/ns/default/sa/client',
  cluster: 'Kubernetes',
});
const SERVER = workload({
  podName: 'server-5d4b-fghij',
  podUid: 'uid-1',
  containerId: 'c1',
  namespace: 'shop',
  canonicalService: 'server',
  principal: 'spiffe://cluster.local/ns/shop/sa/server',
  cluster: 'Kubernetes',
});

const PEERS: Peers = {
  reporter: 'source',
  source: CLIENT,
  destination: SERVER,
  service: { hostname: 'server.shop.svc.cluster.local', name: 'server', namespace: 'shop' },
  securityPolicy: 'unknown',
};
const NOBODY: Peers = { ...PEERS, source: undefined, destination: undefined, service: undefined };

const RECORD: LogConnection = {
  event: 'close',
  connectionId: '7',
  role: 'source',
  localAddress: '127.0.0.1',
  localPort: 63272,
  remoteAddress: '127.0.0.2',
  remotePort: 9000,
  dialledPort: 0,
  adopted: false,
  timeNs: 21_999_999,
  openedNs: 1_000_000,
  establishedNs: 1_500_000,
  bytesSent: 11,
  bytesReceived: 22,
  closeReason: 'normal',
  errno: 0,
  errorType: undefined,
  smoothedRttUs: 50,
  minRttUs: 0,
  retransmits: 0,
  lost: 0,
  segmentsSent: 4,
  segmentsReceived: 5,
  pid: 0,
  executable: '',
};

type Value = readonly [name: string, value: string | number];

function collect(write: (sink: FieldSink) => void): Value[] {
  const values: Value[] = [];
  const push = (name: string, value: string | number) => {
    values.push([name, value]);
  };
  write({ string: push, int: push, double: push });
  return values;
}

const fields = (record: Partial<LogConnection> = {}, peers: LogPeers = PEERS) =>
  collect((sink) => accessLogFields({ ...RECORD, ...record }, peers, sink));

function attributes(record: Partial<LogConnection> = {}, peers: LogPeers = PEERS): Record<string, string | number> {
  const connection = { ...RECORD, ...record };
  return Object.fromEntries(
    collect((sink) => {
      pairAttributes(peers, sink);
      flowAttributes(connection, peers, sink);
      connectionAttributes(connection, 'b007', sink);
    }),
  );
}

/** The ends change places: the same connection as the server's kernel sees it. */
const ACCEPTED: Partial<LogConnection> = {
  role: 'destination',
  localAddress: '127.0.0.2',
  localPort: 9000,
  remoteAddress: '127.0.0.1',
  remotePort: 63272,
  dialledPort: 0,
  bytesSent: 22,
  bytesReceived: 11,
};

describe('access-log fields', () => {
  it("have ztunnel's names, order and values", () => {
    expect(fields()).toEqual([
      ['src.addr', '127.0.0.1:63272'],
      ['src.workload', 'client-7c9f-abcde'],
      ['src.namespace', 'default'],
      ['src.cluster', 'Kubernetes'],
      ['dst.addr', '127.0.0.2:9000'],
      ['dst.service', 'server.shop.svc.cluster.local'],
      ['dst.workload', 'server-5d4b-fghij'],
      ['dst.namespace', 'shop'],
      ['dst.cluster', 'Kubernetes'],
      ['direction', 'outbound'],
      ['bytes_sent', 11],
      ['bytes_recv', 22],
      ['duration', '20ms'],
    ]);
  });

  it('name client and server alike at both ends, bytes in the local view', () => {
    const inbound = fields(ACCEPTED, { ...PEERS, reporter: 'destination' });
    const changed = new Map<string, Value>([
      ['direction', ['direction', 'inbound']],
      ['bytes_sent', ['bytes_sent', 22]],
      ['bytes_recv', ['bytes_recv', 11]],
    ]);
    expect(inbound).toEqual(fields().map((field) => changed.get(field[0]) ?? field));
  });

  it('give identities only where TLS proved them, and the inner address of a tunnel', () => {
    const hbone = { remotePort: 15008, hboneAddress: '192.0.2.2:9000' };
    const names = fields(hbone, { ...PEERS, securityPolicy: 'mutual_tls' });
    expect(names.slice(0, 12)).toEqual([
      ['src.addr', '127.0.0.1:63272'],
      ['src.workload', 'client-7c9f-abcde'],
      ['src.namespace', 'default'],
      ['src.identity', 'spiffe://cluster.local/ns/default/sa/client'],
      ['src.cluster', 'Kubernetes'],
      ['dst.addr', '127.0.0.2:15008'],
      ['dst.hbone_addr', '192.0.2.2:9000'],
      ['dst.service', 'server.shop.svc.cluster.local'],
      ['dst.workload', 'server-5d4b-fghij'],
      ['dst.namespace', 'shop'],
      ['dst.identity', 'spiffe://cluster.local/ns/shop/sa/server'],
      ['dst.cluster', 'Kubernetes'],
    ]);
  });

  it('leave out what is unknown, and never write an empty value', () => {
    const empty = workload({ podName: '', namespace: '', cluster: '' });
    for (const peers of [NOBODY, { ...NOBODY, source: empty, destination: empty }]) {
      expect(fields({ remoteAddress: '' }, peers).map(([name]) => name)).toEqual([
        'src.addr',
        'direction',
        'bytes_sent',
        'bytes_recv',
        'duration',
      ]);
    }
  });

  it('name a workload without a pod by its canonical service', () => {
    const source = workload({ canonicalService: 'sshd' });
    expect(fields({}, { ...NOBODY, source })).toContainEqual(['src.workload', 'sshd']);
  });

  it('put IPv6 in brackets', () => {
    const values = fields({ localAddress: 'fd00::1', remoteAddress: '::1' });
    expect(values).toContainEqual(['src.addr', '[fd00::1]:63272']);
    expect(values).toContainEqual(['dst.addr', '[::1]:9000']);
  });

  it('say nothing of an outcome when a connection has only opened', () => {
    expect(fields({ event: 'open' }).at(-1)).toEqual(['direction', 'outbound']);
  });

  it.each([
    [111, 'connection_refused', 'io error: Connection refused (os error 111)'],
    [113, 'host_unreachable', 'io error: No route to host (os error 113)'],
    [110, 'timed_out', 'io error: Connection timed out (os error 110)'],
    [0, 'no_local_port', 'io error: Cannot assign requested address (os error 99)'],
    [0, 'aborted', 'connection aborted by the application before it was established'],
    [0, '_OTHER', 'connection failed before a packet could leave: no route, or a local policy'],
    [250, '_OTHER', 'io error: os error 250'],
  ])('end with the error of a failure: errno %i', (errno, errorType, text) => {
    expect(fields({ event: 'fail', errno, errorType }).at(-1)).toEqual(['error', text]);
  });

  it('never give a negative duration', () => {
    expect(fields({ timeNs: 5, openedNs: 9 })).toContainEqual(['duration', '0ms']);
  });
});

describe('OpenTelemetry attributes', () => {
  it('describe the flow, the service and the connection', () => {
    expect(attributes()).toEqual({
      'network.transport': 'tcp',
      'network.type': 'ipv4',
      'server.address': 'server.shop.svc.cluster.local',
      'server.port': 9000,
      'source.address': '127.0.0.1',
      'source.port': 63272,
      'destination.address': '127.0.0.2',
      'destination.port': 9000,
      'k8s.namespace.name': 'default',
      'k8s.pod.name': 'client-7c9f-abcde',
      'tcpledger.connection.id': 'b007-7',
      'tcpledger.connect.duration': 0.0005,
      'tcpledger.duration': 0.020999999,
      'tcpledger.tcp.rtt.smoothed': 0.00005,
      'tcpledger.tcp.retransmits': 0,
      'tcpledger.tcp.lost': 0,
      'tcpledger.tcp.segments.sent': 4,
      'tcpledger.tcp.segments.received': 5,
      'tcpledger.tcp.close.reason': 'normal',
    });
  });

  it('have what the cgroup of the local end tells, but for the UID where the cluster has another', () => {
    const container = { podUid: 'hash', containerId: 'c2' };
    const seen = (peers: LogPeers) => {
      const { 'k8s.pod.uid': uid, 'container.id': id } = attributes({}, peers);
      return [uid, id];
    };
    expect(seen({ ...NOBODY, container })).toEqual(['hash', 'c2']);
    expect(seen({ ...NOBODY, source: workload({ podUid: 'uid-2' }), container })).toEqual(['uid-2', 'c2']);
    expect(seen({ ...NOBODY, source: workload({ containerId: 'c3' }) })).toEqual([undefined, 'c3']);
  });

  it('tell the port that was dialled where a load balancer on the socket replaced it', () => {
    expect(attributes({ dialledPort: 80 })).toMatchObject({ 'server.port': 80, 'destination.port': 9000 });
  });

  it('are about the local end, which at the destination does not know the dialled port', () => {
    const seen = attributes({ ...ACCEPTED, pid: 42, executable: 'nginx' }, { ...PEERS, reporter: 'destination' });
    expect(seen).toMatchObject({
      'k8s.pod.name': 'server-5d4b-fghij',
      'k8s.pod.uid': 'uid-1',
      'container.id': 'c1',
      'source.port': 63272,
      'destination.port': 9000,
      'process.pid': 42,
      'process.executable.name': 'nginx',
    });
    expect(seen).not.toHaveProperty('server.port');
    expect(seen).not.toHaveProperty(['tcpledger.connect.duration']);
  });

  it('name the reason of a failure and no close', () => {
    const failed = attributes({ event: 'fail', errno: 111, errorType: 'connection_refused', establishedNs: 0 });
    expect(failed).toMatchObject({ 'error.type': 'connection_refused' });
    expect(failed).not.toHaveProperty(['tcpledger.tcp.close.reason']);
    expect(failed).not.toHaveProperty(['tcpledger.connect.duration']);
  });

  it('do not time the opening of a connection that is older than the agent', () => {
    expect(attributes({ adopted: true })).not.toHaveProperty(['tcpledger.connect.duration']);
  });

  it('know IPv6, and nothing of a flow without addresses', () => {
    expect(attributes({ localAddress: 'fd00::1', remoteAddress: 'fd00::2' })).toMatchObject({ 'network.type': 'ipv6' });
    expect(attributes({ localAddress: '', remoteAddress: '' })).not.toHaveProperty(['network.type']);
  });
});

it("takes the receiver's records and identity's peers as they are", () => {
  expectTypeOf<ConnectionRecord>().toExtend<LogConnection>();
  expectTypeOf<Peers>().toExtend<LogPeers>();
});
