/** Records as the receiver hands them on, made by hand: what a test does not name has a plain value. */
import type { Peers, Service, Workload } from '../../../src/identity/types.ts';
import type { ConnectionRecord, PairSource } from '../../../src/receiver/types.ts';

export const BOOT_ID = '0123456789abcdef0123456789abcdef';

/** Kernel time 0 is this wall-clock time. */
export function createSource(bootAt: Date): PairSource {
  const bootMs = bootAt.getTime();
  return {
    pair: () => undefined,
    renew: () => undefined,
    remember: () => undefined,
    recall: () => undefined,
    wallClock(bootNs) {
      const nanos = BigInt(bootMs) * 1_000_000n + BigInt(Math.round(bootNs));
      return { seconds: Number(nanos / 1_000_000_000n), nanos: Number(nanos % 1_000_000_000n) };
    },
    bootId: BOOT_ID,
  };
}

export function connection(given: Partial<ConnectionRecord> = {}): ConnectionRecord {
  return {
    event: 'close',
    connectionId: '1',
    slot: 1,
    generation: 1,
    role: 'source',
    localAddress: '192.0.2.1',
    localPort: 40000,
    remoteAddress: '192.0.2.2',
    remotePort: 9000,
    dialledPort: 0,
    adopted: false,
    timeNs: 21_000_000,
    openedNs: 0,
    establishedNs: 1_000_000,
    bytesSent: 11,
    bytesReceived: 22,
    closeReason: given.event === 'fail' ? undefined : 'normal',
    errno: 0,
    errorType: undefined,
    smoothedRttUs: 0,
    minRttUs: 0,
    retransmits: 0,
    lost: 0,
    segmentsSent: 0,
    segmentsReceived: 0,
    pid: 0,
    executable: '',
    ...given,
  };
}

export function workload(given: Partial<Workload> = {}): Workload {
  return {
    name: 'unnamed',
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
    ...given,
  };
}

export function peers(given: Partial<Peers> = {}): Peers {
  return {
    reporter: 'source',
    source: undefined,
    destination: undefined,
    service: undefined,
    securityPolicy: 'unknown',
    ...given,
  };
}

export const service = (hostname: string): Service => ({
  hostname,
  name: hostname.split('.')[0]!,
  namespace: hostname.split('.')[1],
});
