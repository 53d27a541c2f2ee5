import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createRecordReader } from '../../src/receiver/record.ts';
import type { ConnectionRecord } from '../../src/receiver/types.ts';
import { CONNECT_ERRORS } from '../../src/semconv/pair-fields.ts';
import { FakeKernel, ipBytes } from './fake-kernel.ts';

const kernel = new FakeKernel();
const CLOSE = 1;
const FAIL = 2;
const OTHER = CONNECT_ERRORS.indexOf('_OTHER');

type Fields = Parameters<FakeKernel['recordBytes']>[0];

/** A record as it lies in the ring: eight bytes behind its header. */
function decode(fields: Fields): ConnectionRecord {
  const memory = new ArrayBuffer(256);
  const ends = { local_ip: ipBytes('10.0.0.1'), remote_ip: ipBytes('10.0.0.2'), role: 1 };
  kernel.recordBytes({ ...ends, ...fields }).copy(Buffer.from(memory), 8);
  return createRecordReader(memory, kernel.layouts.record)(8);
}

test('a close has every field of the record', () => {
  const record = decode({
    id: 0x0000_1234_0000_0007n,
    time_ns: 9_000_000_000_123n,
    opened_ns: 8_000_000_000_001n,
    established_ns: 8_000_000_500_001n,
    sent: 5_000_000_000n,
    received: 2n ** 53n - 1n,
    local_ip: ipBytes('2001:db8::7'),
    remote_ip: ipBytes('192.0.2.9'),
    slot: 4_000_000_000,
    generation: 3,
    local_port: 443,
    remote_port: 65_535,
    event: CLOSE,
    role: 2,
    close_reason: 1,
    sk_err: 104,
    adopted: 1,
    dialled_port: 4430,
    srtt_us: 1234,
    min_rtt_us: 56,
    retransmitted: 2,
    lost: 1,
    segments_sent: 4_294_967_295,
    segments_received: 17,
    pid: 4321,
    comm: Buffer.from('exactly-sixteen!'),
  });
  expect(record).toEqual({
    event: 'close',
    connectionId: 0x0000_1234_0000_0007,
    slot: 4_000_000_000,
    generation: 3,
    role: 'destination',
    localAddress: '2001:db8::7',
    localPort: 443,
    remoteAddress: '192.0.2.9',
    remotePort: 65_535,
    dialledPort: 4430,
    adopted: true,
    timeNs: 9_000_000_000_123,
    openedNs: 8_000_000_000_001,
    establishedNs: 8_000_000_500_001,
    bytesSent: 5_000_000_000,
    bytesReceived: 2 ** 53 - 1,
    closeReason: 'peer_reset',
    errno: 104,
    errorType: undefined,
    smoothedRttUs: 1234,
    minRttUs: 56,
    retransmits: 2,
    lost: 1,
    segmentsSent: 4_294_967_295,
    segmentsReceived: 17,
    pid: 4321,
    executable: 'exactly-sixteen!',
  });
});

test('an open has neither a reason nor an error', () => {
  expect(decode({ event: 0, close_reason: 1, connect_error: 1 })).toMatchObject({
    event: 'open',
    closeReason: undefined,
    errorType: undefined,
    adopted: false,
    role: 'source',
    executable: '',
    pid: 0,
  });
});

test.for([...['normal', 'peer_reset', 'local_reset', 'timeout'].entries()])(
  'close reason %i is %s',
  ([code, reason]) => {
    expect(decode({ event: CLOSE, close_reason: code }).closeReason).toBe(reason);
  },
);

test.for([...CONNECT_ERRORS.entries()].slice(0, OTHER))('connect error %i is %s', ([code, errorType]) => {
  const record = decode({ event: FAIL, connect_error: code });
  expect(record).toMatchObject({ event: 'fail', errorType, closeReason: undefined });
});

test.for([
  [13, 'EACCES'],
  [105, 'ENOBUFS'],
  [71, 'EPROTO'],
] as const)('an error of no class of its own, errno %i, is told by its name', ([errno, name]) => {
  expect(decode({ event: FAIL, connect_error: OTHER, sk_err: errno })).toMatchObject({ errno, errorType: name });
});

test('an errno without a name is told as a number', () => {
  expect(decode({ event: FAIL, connect_error: OTHER, sk_err: 250 }).errorType).toContain('250');
});

test('ids are exact over all 64 bits', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (id) => {
      expect(String(decode({ id }).connectionId)).toBe(String(id));
    }),
  );
  for (const id of [2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
    expect(String(decode({ id }).connectionId)).toBe(String(id));
  }
});

test('bytes and times are exact as far as a double is', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 53n }), (value) => {
      const record = decode({ sent: value, received: value, time_ns: value, opened_ns: value, established_ns: value });
      const { bytesSent, bytesReceived, timeNs, openedNs, establishedNs } = record;
      expect([bytesSent, bytesReceived, timeNs, openedNs, establishedNs]).toEqual(Array(5).fill(Number(value)));
    }),
  );
});
