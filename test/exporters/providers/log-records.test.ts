import { InMemoryLogRecordExporter, LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs';
import { describe, expect, it } from 'vitest';
import { createLogRecords } from '../../../src/exporters/providers/log-records.ts';
import type { Peers } from '../../../src/identity/types.ts';
import type { ConnectionRecord } from '../../../src/receiver/types.ts';
import { BOOT_ID, connection, createSource, peers, service, workload } from '../access-log/fixtures.ts';

const source = createSource(new Date('2026-11-23T16:16:19.000Z'));
const AT = Date.parse('2026-11-23T16:16:19.000Z') / 1000;

const between = peers({
  source: workload({
    namespace: 'default',
    podName: 'client-7c9f-abcde',
    podUid: '0f8fad5b-d9cb-469f-a165-70867728950e',
    containerId: 'c0ffee',
    cluster: 'Kubernetes',
    principal: 'spiffe://cluster.local/ns/default/sa/client',
  }),
  destination: workload({ namespace: 'shop', podName: 'server-5d4b-fghij', cluster: 'Kubernetes' }),
  service: service('server.shop.svc.cluster.local'),
});

function emitted(records: readonly ConnectionRecord[], names: Peers) {
  const exporter = new InMemoryLogRecordExporter();
  const provider = new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter })] });
  const before = Date.now();
  createLogRecords(provider.getLogger('tcpledger', '1.2.3')).consume({
    records,
    peers: records.map(() => names),
    source,
  });
  const finished = exporter.getFinishedLogRecords();
  for (const {
    hrTimeObserved: [seconds, nanos],
  } of finished) {
    expect(seconds * 1000 + nanos / 1e6).toBeGreaterThanOrEqual(before - 1);
  }
  return finished;
}

describe('records through the LoggerProvider of another program', () => {
  it('a close has every field and attribute', () => {
    const record = connection({
      connectionId: '77',
      timeNs: 708_303_123,
      openedNs: 687_303_123,
      establishedNs: 687_803_123,
      smoothedRttUs: 250,
      minRttUs: 100,
      retransmits: 1,
      lost: 2,
      segmentsSent: 3,
      segmentsReceived: 4,
      pid: 4321,
      executable: 'curl',
    });
    const [log] = emitted([record], between);
    expect(log).toMatchObject({
      eventName: 'tcpledger.tcp.connection.close',
      hrTime: [AT, 708_303_123],
      severityNumber: 9,
      severityText: 'INFO',
      body: 'connection complete',
      instrumentationScope: { name: 'tcpledger', version: '1.2.3' },
    });
    expect(log!.attributes).toEqual({
      'src.addr': '192.0.2.1:40000',
      'src.workload': 'client-7c9f-abcde',
      'src.namespace': 'default',
      'src.cluster': 'Kubernetes',
      'dst.addr': '192.0.2.2:9000',
      'dst.service': 'server.shop.svc.cluster.local',
      'dst.workload': 'server-5d4b-fghij',
      'dst.namespace': 'shop',
      'dst.cluster': 'Kubernetes',
      direction: 'outbound',
      bytes_sent: 11,
      bytes_recv: 22,
      duration: '21ms',
      'source.address': '192.0.2.1',
      'source.port': 40000,
      'destination.address': '192.0.2.2',
      'destination.port': 9000,
      'server.address': 'server.shop.svc.cluster.local',
      'server.port': 9000,
      'network.transport': 'tcp',
      'network.type': 'ipv4',
      'k8s.namespace.name': 'default',
      'k8s.pod.name': 'client-7c9f-abcde',
      'k8s.pod.uid': '0f8fad5b-d9cb-469f-a165-70867728950e',
      'container.id': 'c0ffee',
      'process.pid': 4321,
      'process.executable.name': 'curl',
      'tcpledger.connection.id': `${BOOT_ID}-77`,
      'tcpledger.duration': 0.021,
      'tcpledger.connect.duration': 0.0005,
      'tcpledger.tcp.rtt.smoothed': 0.00025,
      'tcpledger.tcp.rtt.min': 0.0001,
      'tcpledger.tcp.retransmits': 1,
      'tcpledger.tcp.lost': 2,
      'tcpledger.tcp.segments.sent': 3,
      'tcpledger.tcp.segments.received': 4,
      'tcpledger.tcp.close.reason': 'normal',
    });
  });

  it('a failure is an error with its type', () => {
    const record = connection({ event: 'fail', errno: 111, errorType: 'connection_refused', establishedNs: 0 });
    const [log] = emitted([record], peers());
    expect(log).toMatchObject({
      eventName: 'tcpledger.tcp.connection.fail',
      severityNumber: 17,
      severityText: 'ERROR',
      body: 'connection complete',
      attributes: { error: 'io error: Connection refused (os error 111)', 'error.type': 'connection_refused' },
    });
    expect(Object.keys(log!.attributes)).not.toContain('tcpledger.tcp.close.reason');
  });

  it('an opening says nothing yet of what became of it', () => {
    const [log] = emitted([connection({ event: 'open', remoteAddress: '2001:db8::1' })], between);
    expect(log).toMatchObject({
      eventName: 'tcpledger.tcp.connection.open',
      severityNumber: 5,
      body: 'connection opened',
      attributes: { 'dst.addr': '[2001:db8::1]:9000' },
    });
    for (const name of ['bytes_sent', 'duration', 'tcpledger.duration'])
      expect(log!.attributes).not.toHaveProperty(name);
  });

  it('every record of a batch comes out, in order', () => {
    const records = Array.from({ length: 50 }, (_, i) => connection({ connectionId: String(i) }));
    expect(emitted(records, between).map((log) => log.attributes['tcpledger.connection.id'])).toEqual(
      records.map((record) => `${BOOT_ID}-${record.connectionId}`),
    );
  });
});
