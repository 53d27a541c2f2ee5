/** Connection records as the identity processor hands them on, and arbitrary ones. */
import fc from 'fast-check';
import type { IdentifiedRecords, Peers, Workload } from '../../../../src/identity/types.ts';
import type { ConnectionRecord, PairSource } from '../../../../src/receiver/types.ts';
import { workload } from '../../support/pairs.ts';

export const BOOT_ID = '0123456789abcdef0123456789abcdef';

/** Wall clock at boot: seconds beyond 2^30 and nanoseconds, so that every bit of the sum counts. */
const BOOT_SECONDS = 1_716_000_000;

export const source: PairSource = {
  pair: () => undefined,
  renew: () => {},
  remember: () => {},
  recall: () => undefined,
  wallClock(bootNs) {
    const seconds = Math.floor(bootNs / 1e9);
    return { seconds: BOOT_SECONDS + seconds, nanos: bootNs - seconds * 1e9 };
  },
  bootId: BOOT_ID,
};

export const wallClockNanos = (bootNs: number): bigint => BigInt(BOOT_SECONDS) * 1_000_000_000n + BigInt(bootNs);

export function peers(rest: Partial<Peers> = {}): Peers {
  return {
    reporter: 'source',
    source: workload('client', { podUid: 'b7f5c1a2-9c7f-4b52-8f3e-2f4f6d9f1a11', containerId: 'c0ffee' }),
    destination: workload('server'),
    service: { hostname: 'server.shop.svc.cluster.local', name: 'server', namespace: 'shop' },
    securityPolicy: 'unknown',
    ...rest,
  };
}

export function record(rest: Partial<ConnectionRecord> = {}): ConnectionRecord {
  return {
    event: 'close',
    connectionId: 17,
    slot: 3,
    generation: 1,
    role: 'source',
    localAddress: '10.244.0.10',
    localPort: 47667,
    remoteAddress: '10.244.0.7',
    remotePort: 8080,
    dialledPort: 0,
    adopted: false,
    timeNs: 5_002_300_456,
    openedNs: 5_000_000_123,
    establishedNs: 5_000_100_123,
    bytesSent: 11,
    bytesReceived: 22,
    closeReason: 'normal',
    errno: 0,
    errorType: undefined,
    smoothedRttUs: 120,
    minRttUs: 80,
    retransmits: 1,
    lost: 2,
    segmentsSent: 6,
    segmentsReceived: 5,
    pid: 4242,
    executable: 'curl',
    ...rest,
  };
}

/** `count` records of one pair, told apart by their ids and ports. */
export function recordBatch(count: number, from = 0, of: Peers = peers()): IdentifiedRecords {
  const records = Array.from({ length: count }, (_, i) =>
    record({ connectionId: from + i, localPort: 1024 + ((from + i) % 60_000), bytesSent: from + i }),
  );
  return { records, peers: records.map(() => of), source };
}

/** Text as attackers and accidents write it: any unicode, lone surrogates, quotes, newlines, long. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 }).map((units) => String.fromCharCode(...units)),
  fc.constantFrom('', '"', 'a\nb', '\\', 'x'.repeat(125), 'x'.repeat(126), 'é'.repeat(63), 'x'.repeat(20_000)),
);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const whole = fc.oneof(
  fc.maxSafeNat(),
  fc.nat({ max: 300 }),
  fc.constantFrom(0, 127, 128, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1),
);
const port = fc.nat({ max: 65_535 });
const address = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constant(''));

const anyWorkload: fc.Arbitrary<Workload> = fc.record({
  name: text,
  namespace: maybe(text),
  podName: maybe(text),
  podUid: maybe(text),
  containerId: maybe(text),
  canonicalService: maybe(text),
  canonicalRevision: maybe(text),
  principal: maybe(text),
  cluster: maybe(text),
  region: maybe(text),
  zone: maybe(text),
  node: maybe(text),
  goneSinceMs: fc.constant(undefined),
});

export const anyPeers: fc.Arbitrary<Peers> = fc.record({
  reporter: fc.constantFrom('source', 'destination'),
  source: maybe(anyWorkload),
  destination: maybe(anyWorkload),
  service: maybe(fc.record({ hostname: text, name: text, namespace: maybe(text) })),
  securityPolicy: fc.constantFrom('mutual_tls', 'unknown'),
});

export const anyRecord: fc.Arbitrary<ConnectionRecord> = fc.record({
  event: fc.constantFrom('open', 'close', 'fail'),
  connectionId: fc.oneof(fc.maxSafeNat(), fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }).map(String)),
  slot: fc.nat(),
  generation: fc.nat(),
  role: fc.constantFrom('source', 'destination'),
  localAddress: address,
  localPort: port,
  remoteAddress: address,
  remotePort: port,
  dialledPort: port,
  adopted: fc.boolean(),
  timeNs: fc.maxSafeNat(),
  openedNs: fc.maxSafeNat(),
  establishedNs: fc.oneof(fc.constant(0), fc.maxSafeNat()),
  bytesSent: whole,
  bytesReceived: whole,
  closeReason: fc.constantFrom('normal', 'peer_reset', 'local_reset', 'timeout', undefined),
  errno: fc.nat({ max: 200 }),
  errorType: maybe(fc.constantFrom('connection_refused', 'timed_out', 'aborted', 'no_local_port', 'EPERM')),
  smoothedRttUs: whole,
  minRttUs: whole,
  retransmits: whole,
  lost: whole,
  segmentsSent: whole,
  segmentsReceived: whole,
  pid: fc.nat(),
  executable: text,
});
